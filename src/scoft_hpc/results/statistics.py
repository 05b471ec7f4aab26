"""Means and paired differences with 95 % intervals, by a bootstrap over what was repeated: cultures, seeds, samples.

Samples are nested in seeds and seeds in cultures. The highest level that has more than one unit is drawn again with
replacement, and what is nested in a unit comes along as it is: redrawing every level would count the noise of the
lower ones two and three times over (Davison and Hinkley, "Bootstrap Methods and their Application", 1997, section
3.8). So with several cultures the interval says where the mean would lie for cultures *like these*, if the study's
few are taken as draws from many; with one culture, where it would lie for other seeds; with one run, for other
samples of that run, and nothing beyond it.

Five cultures are few. The percentiles' distances from the mean are widened as Student's t asks (`_widening`), which
covers in 93 to 95 of 100 simulated studies of five cultures; with two or three, and for very skewed measures, read
an interval as a hint.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.results.measures import Measure
from scoft_hpc.results.study import Run, Study

DRAWS = 4000
CONFIDENCE = 0.95
ROWS = {"sample": "samples", "prompt": "prompts", "neutral": "neutral"}
"""Where scores.json keeps the values of a measure's units."""

Values = Mapping[tuple[str, int], Mapping[str, float]]
"""(culture, seed) -> sample name -> value. Samples of one name share prompt and starting noise across variants."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval, and how much it rests on."""

    value: float
    low: float
    high: float
    cultures: int
    runs: int
    samples: int

    @property
    def half(self) -> float | None:
        """Half of the interval; None where there is none: nothing was repeated, or all of it agrees."""
        return (self.high - self.low) / 2 if math.isfinite(self.high - self.low) else None

    @property
    def holds(self) -> bool:
        """Whether the interval leaves zero out: of a difference, whether there is one."""
        return self.low > 0 or self.high < 0


def values(study: Study, measure: Measure, variant: str, *, culture: str | None = None) -> Values:
    """What the variant's scored runs have of a measure, of one culture or of all; runs without it are left out."""
    found: dict[tuple[str, int], Mapping[str, float]] = {}
    for run in study.of(culture=culture, variant=variant):
        whole = run.metric(measure.name)
        if units := of_units(run, measure):
            found[run.culture, run.seed] = units
        elif whole is not None:
            found[run.culture, run.seed] = {"": whole}
    return found


def of_units(run: Run, measure: Measure) -> Mapping[str, float]:
    """The values of a run's samples or prompts, by a name that other variants' runs share; {} of a set's measure.

    A prompt goes by its place: baselines may word it in another way.
    """
    rows = run.scores.get(ROWS.get(measure.unit, ""), [])
    return {
        str(row.get("file", f"prompt {place}")): float(value)
        for place, row in enumerate(rows)
        if (value := row.get(measure.name)) is not None
    }


def level(study: Study, measure: Measure, variant: str, *, culture: str | None = None) -> Estimate | None:
    """A variant's mean, of one culture or of all; None where nothing is scored yet."""
    return mean(values(study, measure, variant, culture=culture), bounds=measure.bounds)


def contrast(study: Study, measure: Measure, variant: str, reference: str) -> Estimate | None:
    """What `variant` has more than `reference`, paired; None where no pair is there yet."""
    pairs = paired(values(study, measure, variant), values(study, measure, reference))
    return mean(pairs, bounds=of_difference(measure))


def of_difference(measure: Measure) -> tuple[float, float]:
    """The least and the greatest value that a difference can take."""
    low, high = measure.bounds
    return low - high, high - low


def paired(these: Values, those: Values) -> Values:
    """Differences over the same (culture, seed) and the same samples or prompts."""
    differences: dict[tuple[str, int], dict[str, float]] = {}
    for key, one in these.items():
        if other := those.get(key):
            shared = {name: one[name] - other[name] for name in one if name in other}
            # Runs that were sampled differently can still be compared by their means.
            differences[key] = shared or {"": _mean(one) - _mean(other)}
    return differences


def mean(
    found: Values, *, bounds: tuple[float, float] = (-math.inf, math.inf), draws: int = DRAWS, seed: int = 0
) -> Estimate | None:
    """The mean over cultures of the mean over seeds of the mean over samples; None of nothing.

    Every culture counts alike, however many of its runs are done, and so does every seed of a culture. `bounds` are
    the least and the greatest value that the measure can take.
    """
    cultures = _nest(found)
    if not cultures:
        return None
    runs = [run for culture in cultures for run in culture]
    if len(cultures) > 1:
        units = [np.mean([run.mean() for run in culture]) for culture in cultures]
    elif len(runs) > 1:
        units = [run.mean() for run in runs]
    else:
        units = list(runs[0])
    low, high = _interval(np.array(units), draws, seed)
    if math.isfinite(high - low):
        low, high = max(low, bounds[0]), min(high, bounds[1])
    return Estimate(
        value=float(np.mean(units)),
        low=low,
        high=high,
        cultures=len(cultures),
        runs=len(runs),
        samples=sum(run.size for run in runs),
    )


def _interval(units: NDArray[np.float64], draws: int, seed: int) -> tuple[float, float]:
    """Bootstrap interval of the mean of `units` [n]; everything, where nothing tells how far units lie apart."""
    n = len(units)
    if n < 2 or np.ptp(units) == 0:
        return -math.inf, math.inf
    drawn = np.random.default_rng(seed).integers(n, size=(draws, n))
    tail = (1 - CONFIDENCE) / 2
    value = units.mean()
    low, high = np.quantile(units[drawn].mean(axis=1), [tail, 1 - tail]) - value
    widening = _widening(n)
    return float(value + widening * low), float(value + widening * high)


def _widening(n: int) -> float:
    """What the bootstrap of a mean of `n` units lacks: Student's tails, and sqrt((n - 1) / n) of the deviation."""
    from scipy.special import ndtri, stdtrit

    upper = (1 + CONFIDENCE) / 2
    return float(stdtrit(n - 1, upper) / ndtri(upper) * math.sqrt(n / (n - 1)))


def _nest(found: Values) -> list[list[NDArray[np.float64]]]:
    """Cultures of runs of samples."""
    cultures: dict[str, list[NDArray[np.float64]]] = {}
    for (culture, _), samples in sorted(found.items()):
        if samples:
            cultures.setdefault(culture, []).append(np.fromiter(samples.values(), dtype=np.float64))
    return list(cultures.values())


def _mean(samples: Mapping[str, float]) -> float:
    return sum(samples.values()) / len(samples)
