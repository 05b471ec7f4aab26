"""CSV files that a spreadsheet can open safely: no cell is computed as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

Cell = str | int | float | bool | None

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so would be computed; an apostrophe before it makes it text."""


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Cell]]) -> str:
    """The columns of the rows as CSV with a header; truth values are `true` and `false`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        cells = (neutral(row[column]) for column in columns)
        writer.writerow(str(cell).lower() if isinstance(cell, bool) else cell for cell in cells)
    return text.getvalue()


def neutral(cell: Cell) -> Cell:
    """The cell with an apostrophe before it if a spreadsheet would take it for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULAS) else cell
