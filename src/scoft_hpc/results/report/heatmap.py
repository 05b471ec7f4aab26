"""Culture by variant: every measure that has a better end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scoft_hpc.config.metrics import MetricSpec
from scoft_hpc.results.findings import Findings

MeanAndRank = tuple[float, float]
"""A mean, and how good it is, from 0 to 1."""


@dataclass(frozen=True)
class Heatmap:
    measure: MetricSpec
    digits: int
    lines: list[tuple[str, list[MeanAndRank | None]]]


def heatmaps(findings: Findings) -> list[Heatmap]:
    return [_heat(findings, measure) for measure in findings.measures if measure.direction != "undirected"]


def _heat(findings: Findings, measure: MetricSpec) -> Heatmap:
    levels = {
        (c, v): e.value
        for c in findings.cultures
        for v in findings.variants
        if (e := findings.by_culture(c, v, measure.name)) is not None
    }
    good = dict(zip(levels, _goodness(measure, list(levels.values())), strict=True))
    return Heatmap(
        measure,
        findings.digits(measure.name),
        [
            (c, [(levels[c, v], good[c, v]) if (c, v) in levels else None for v in findings.variants])
            for c in findings.cultures
        ],
    )


def _goodness(measure: MetricSpec, levels: Sequence[float]) -> list[float]:
    """From the worst to the best that a share can be; of other measures, from the worst to the best that is there."""
    bad = [measure.loss_of(level) or 0.0 for level in levels]
    ends = [measure.loss_of(end) or 0.0 for end in (*measure.bounds, *([0.5] if measure.target else []))]
    if not all(map(math.isfinite, ends)) or measure.bounds != (0.0, 1.0):
        ends = bad
    least, span = min(ends, default=0.0), max(ends, default=0.0) - min(ends, default=0.0)
    return [1 - (b - least) / span if span else 0.5 for b in bad]
