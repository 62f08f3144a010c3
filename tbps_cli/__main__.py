"""`python -m tbps_cli`: the same as `tbps`."""

from __future__ import annotations

from tbps_cli.cli.main import tbps

if __name__ == "__main__":
    tbps()
