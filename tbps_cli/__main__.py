"""`python -m tbps_cli`: the same as `tbps`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the program, and end it as `tbps` would when Ctrl-C comes before that is there."""
    try:
        from tbps_cli.cli.main import tbps
    except KeyboardInterrupt:
        sys.stderr.write("Stopped by Ctrl-C: nothing was begun.\n")
        sys.exit(130)
    tbps()


if __name__ == "__main__":
    main()
