"""metrics.jsonl: one JSON object per training step, appended as it happens."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scoft_hpc.study import atomic

STEP = "trainer/step"
"""The key of the step number (updates done, from 1) in every row."""

Row = dict[str, Any]


class MetricsLog:
    """Append-only writer; a row is in the file once `append` returns."""

    def __init__(self, path: Path, step: int) -> None:
        """Open for continuing after update `step`; later rows belong to a lost attempt and are removed."""
        rows = [row for row in read(path) if row[STEP] <= step]
        atomic.write_text(path, "".join(map(_line, rows)))
        self._file = path.open("a", encoding="utf-8")

    def append(self, row: Row) -> None:
        self._file.write(_line(row))
        self._file.flush()

    def sync(self) -> None:
        """Make all rows durable: called with every checkpoint, so that the log has every step of it."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def read(path: Path) -> Iterator[Row]:
    """The rows of a log, without a torn last line (a kill during a write)."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            row = _parse(line)
            if row is not None:
                yield row


def last(path: Path, tail: int = 4096) -> Row | None:
    """The newest whole row, read from the end of the file: cheap for a status of many runs."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - tail))
        for line in reversed(file.read().decode(errors="replace").splitlines()):
            row = _parse(line)
            if row is not None:
                return row
    return None


def _line(row: Row) -> str:
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    return json.dumps(finite, allow_nan=False) + "\n"


def _parse(line: str) -> Row | None:
    try:
        row = json.loads(line)
    except json.JSONDecodeError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get(STEP), int) else None
