"""What a spreadsheet would make of a cell of a CSV file."""

from __future__ import annotations

Cell = str | int | float | bool | None

FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so would be computed; an apostrophe before it makes it text."""


def neutral(cell: Cell) -> Cell:
    """The cell so that no spreadsheet takes it for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULAS) else cell
