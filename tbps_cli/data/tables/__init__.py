"""Tables that people made themselves."""

from __future__ import annotations

from tbps_cli.data.tables.records import SUFFIXES, read_table, row_of, write_lines

__all__ = ["SUFFIXES", "read_table", "row_of", "write_lines"]
