"""Reading the JSON files of a study, which another process may be writing, or another version wrote."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any


def read_json(path: Path, notes: list[str] | None = None) -> dict[str, Any]:
    """The object in the file; empty if there is no such file, or no whole object in it.

    A file that exists and cannot be read is also added to `notes`.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        fault = str(error)
    else:
        if isinstance(content, dict):
            return content
        fault = f"expected a JSON object, found {type(content).__name__}"
    if notes is not None:
        notes.append(f"{path} cannot be read and is left out ({fault}).")
    return {}


def read_json_lines(lines: Iterable[bytes]) -> Iterator[tuple[int, str, dict[str, Any] | None]]:
    """Each line that is not blank: its number from 1, its text, and its JSON object; None if it is none in UTF-8."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line.decode())
            except (ValueError, RecursionError):
                row = None
            yield number, line.decode(errors="replace"), row if isinstance(row, dict) else None
