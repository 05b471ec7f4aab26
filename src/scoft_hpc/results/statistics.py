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
from scoft_hpc.results.study import BASE, Study

DRAWS = 4000
CONFIDENCE = 0.95

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


def values(study: Study, measure: Measure, variant: str) -> Values:
    """What the variant's scored runs have of a measure; runs without it are left out."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for run in study.of(variant=variant):
        per_sample = {}
        if measure.of_sample is not None:
            per_sample = {
                str(sample["file"]): value
                for sample in run.samples
                if (value := measure.of_sample(sample)) is not None
            }
        whole = run.metric(measure.name)
        if per_sample:
            found[run.culture, run.seed] = per_sample
        elif whole is not None:
            found[run.culture, run.seed] = {"": whole}
    return found


def level(study: Study, measure: Measure, variant: str) -> Estimate | None:
    """A variant's mean; None where nothing is scored yet."""
    return mean(values(study, measure, variant), bounds=measure.bounds)


def contrast(study: Study, measure: Measure, variant: str, reference: str) -> Estimate | None:
    """What `variant` has more than `reference`, paired; None where no pair is there yet."""
    pairs = paired(
        values(study, measure, variant), values(study, measure, reference), any_seed=reference == BASE
    )
    return mean(pairs, bounds=(-measure.bounds[1], measure.bounds[1]))


def paired(these: Values, those: Values, *, any_seed: bool = False) -> Values:
    """Differences over the same (culture, seed) and the same samples.

    With `any_seed`, a culture whose one run of `those` has another seed is paired as well: an untrained model has
    no training seed.
    """
    differences: dict[tuple[str, int], dict[str, float]] = {}
    for (culture, seed), one in these.items():
        other = those.get((culture, seed))
        if other is None and any_seed:
            candidates = [found for (name, _), found in those.items() if name == culture]
            other = candidates[0] if len(candidates) == 1 else None
        if other is None:
            continue
        shared = {name: one[name] - other[name] for name in one if name in other}
        # Runs that were sampled differently can still be compared by their means.
        differences[culture, seed] = shared or {"": _mean(one) - _mean(other)}
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
