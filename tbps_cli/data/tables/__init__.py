"""Tables that people made themselves."""

from __future__ import annotations

from tbps_cli.data.tables.csv_file import from_cell, to_cell
from tbps_cli.data.tables.records import SUFFIXES, read_table, row_of, write_lines

__all__ = ["SUFFIXES", "from_cell", "read_table", "row_of", "to_cell", "write_lines"]
