"""metrics.jsonl: one JSON object per training step, appended as it happens."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scoft_hpc.study import atomic
from scoft_hpc.study.json_files import read_json_lines

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
    if path.exists():
        with path.open("rb") as file:
            yield from _rows(file)


def last(path: Path, tail: int = 4096) -> Row | None:
    """The newest whole row, read from the end of the file: cheap for a status of many runs."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - tail))
        return next(_rows(reversed(file.read().splitlines())), None)


def _line(row: Row) -> str:
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    return json.dumps(finite, allow_nan=False) + "\n"


def _rows(lines: Iterable[bytes]) -> Iterator[Row]:
    rows = (row for _, _, row in read_json_lines(lines))
    return (row for row in rows if row is not None and isinstance(row.get(STEP), int))
