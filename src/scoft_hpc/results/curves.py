"""A run's training curves, thinned as they are read: a journal of any length takes the same memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from scoft_hpc.study import metrics_log
from scoft_hpc.study.metrics_log import STEP

BINS = 40
"""Points of a curve at most."""

Curve = tuple[np.ndarray, np.ndarray]
"""Steps and values."""


def read(path: Path) -> dict[str, Curve]:
    """Each number of the journal over the steps, averaged in at most `BINS` equal spans.

    Steps without the number, as of a term that is not computed every time, are passed over.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    for row in metrics_log.read(path):
        for name, value in row.items():
            if name != STEP and isinstance(value, int | float):
                points.setdefault(name, []).append((row[STEP], value))
    return {name: _thin(np.array(some, dtype=float)) for name, some in points.items()}


def _thin(points: np.ndarray) -> Curve:
    x, y = points.T
    span = np.minimum((x - x[0]) / max(1.0, x[-1] - x[0]) * BINS, BINS - 1).astype(int)
    count = np.bincount(span)
    some = count > 0
    return np.bincount(span, x)[some] / count[some], np.bincount(span, y)[some] / count[some]
