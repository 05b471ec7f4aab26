"""Forest plots: each variant's difference from a reference, pooled and culture by culture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scoft_hpc.config.metrics import MetricSpec
from scoft_hpc.results import statistics
from scoft_hpc.results.findings import Findings
from scoft_hpc.results.inference import Comparison
from scoft_hpc.results.statistics import Estimate

MARGIN = 7.0
"""Per cent of the width at both ends, for the labels of the outer ticks."""
BEYOND = 0.6
"""An interval is cut where it leaves the points by more than so much of their range."""


@dataclass(frozen=True)
class Mark:
    """A mean and its interval in per cent of the width; `cut` says at which ends the interval goes on."""

    colour: int
    x: float
    low: float
    high: float
    cut: tuple[bool, bool] = (False, False)


@dataclass(frozen=True)
class Band:
    variant: str
    comparison: Comparison
    pooled: Mark
    cultures: list[Mark]


@dataclass(frozen=True)
class Forest:
    """`zero` and `ticks` (with their values) in per cent of the width."""

    measure: MetricSpec
    reference: str
    zero: float
    ticks: list[tuple[float, float]]
    bands: list[Band]


def forest(findings: Findings, measure: MetricSpec, reference: str) -> Forest | None:
    """None where nothing is compared with the reference."""
    compared = {
        variant: comparison
        for variant in findings.variants
        if (comparison := findings.of(variant, measure.name).against.get(reference)) is not None
    }
    if not compared:
        return None
    by_culture = {v: _by_culture(findings, measure, v, reference) for v in compared}
    points = [c.difference.value for c in compared.values()]
    points += [e.value for cultures in by_culture.values() for e in cultures.values()]
    scale = _Scale.around(points, [c.difference for c in compared.values()])
    return Forest(
        measure,
        reference,
        scale(0.0),
        [(scale(tick), tick) for tick in scale.ticks()],
        [
            Band(
                variant,
                comparison,
                scale.mark(comparison.difference, 0),
                [scale.mark(e, i) for i, e in by_culture[variant].items()],
            )
            for variant, comparison in compared.items()
        ],
    )


def _by_culture(
    findings: Findings, measure: MetricSpec, variant: str, reference: str
) -> Mapping[int, Estimate]:
    """Paired differences by the culture's place; the interval speaks of its other seeds, or of a run's samples."""
    pairs = statistics.paired(*(statistics.values(findings.study, measure, v) for v in (variant, reference)))
    bounds = statistics.of_difference(measure)
    by_place = {
        i: statistics.mean({key: values for key, values in pairs.items() if key[0] == culture}, bounds=bounds)
        for i, culture in enumerate(findings.cultures)
    }
    return {i: estimate for i, estimate in by_place.items() if estimate is not None}


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float

    @classmethod
    def around(cls, points: Sequence[float], pooled: Sequence[Estimate]) -> _Scale:
        """Zero, all points, and of the pooled intervals what is not too far off."""
        low, high = min(0.0, *points), max(0.0, *points)
        margin = BEYOND * (high - low) or 1e-3
        ends = [end for e in pooled if e.half is not None for end in (e.low, e.high)]
        return cls(
            max(low - margin, min([low - margin / 8, *ends])),
            min(high + margin, max([high + margin / 8, *ends])),
        )

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(MARGIN + (100 - 2 * MARGIN) * min(1.0, max(0.0, share)), 2)

    def ticks(self) -> list[float]:
        from matplotlib.ticker import MaxNLocator

        ticks = MaxNLocator(nbins=4, steps=[1, 2, 2.5, 5, 10]).tick_values(self.low, self.high)
        return [float(tick) for tick in ticks if self.low <= tick <= self.high]

    def mark(self, e: Estimate, colour: int) -> Mark:
        if e.half is None:
            return Mark(colour, self(e.value), self(e.value), self(e.value))
        cut = (e.low < self.low, e.high > self.high)
        return Mark(colour, self(e.value), self(e.low), self(e.high), cut)
