"""A file of prompts and their rewritings: JSON, one object a line, or CSV with a header.

Each row has `prompt`, `rewritten` and, if it is for one culture only, `culture`; other keys are passed over. For a
prompt that has both, a culture's own row counts.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scoft_hpc.errors import DataError
from scoft_hpc.inputs.metadata_rows import short
from scoft_hpc.study.json_files import read_json_lines
from scoft_hpc.text import shorten

MAX_PROBLEMS_LISTED = 20
EXPECTED = '{"prompt": …, "rewritten": …}, with "culture" if it is for one alone'


def read(path: Path, culture: str) -> dict[str, str]:
    """The culture's rewritings by prompt.

    Raises:
        DataError: if the file cannot be read, with all faults of its rows.
    """
    faults: list[str] = []
    where: dict[tuple[str, str], int] = {}
    rewrites: dict[tuple[str, str], str] = {}
    for number, row in _rows(path, faults):
        if fault := _fault(row):
            faults.append(f"{path}, row {number}: {fault}")
            continue
        key = str(row.get("culture") or "").strip(), row["prompt"].strip()
        if rewrites.setdefault(key, row["rewritten"].strip()) != row["rewritten"].strip():
            faults.append(
                f"{path}, row {number}: {short(key[1])} has another rewriting in row {where[key]}; keep one of the two."
            )
        where.setdefault(key, number)
    if faults:
        raise DataError.from_messages(shorten(faults, MAX_PROBLEMS_LISTED, "more."))
    return {
        prompt: text for wanted in ("", culture) for (own, prompt), text in rewrites.items() if own == wanted
    }


def _rows(path: Path, faults: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows with their numbers; a line that is no row is among the faults."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not text in UTF-8"
        raise DataError(
            f"evaluation.rewrites={path} cannot be read: {reason}; expected {EXPECTED}."
        ) from None
    if path.suffix.lower() == ".csv":
        try:
            yield from enumerate(csv.DictReader(io.StringIO(text, newline="")), start=2)
        except csv.Error as error:
            faults.append(f"{path} cannot be read as CSV ({error}).")
        return
    for number, line, row in read_json_lines(text.encode().split(b"\n")):
        if row is not None:
            yield number, row
        else:
            faults.append(f"{path}, row {number}: {short(line)} is no JSON object; expected {EXPECTED}.")


def _fault(row: dict[str, Any]) -> str | None:
    for key in ("prompt", "rewritten"):
        value = row.get(key)
        if not isinstance(value, str) or not value.strip():
            return f"`{key}` is {'missing' if value is None else short(value)}; expected {EXPECTED}."
    if not isinstance(row.get("culture") or "", str):
        return f"`culture` is {short(row['culture'])}; expected its name, or nothing."
    return None
