"""Means and paired differences with 95 % intervals over what was repeated: cultures, seeds, samples.

Samples are nested in seeds and seeds in cultures. The units are those of the highest level that has more than one, and
what is nested in a unit is averaged. So with several cultures an interval says where the mean would lie for cultures
*like these*, if the study's few are taken as draws from many; with one culture, where it would lie for other seeds;
with one run, for other samples of that run, and nothing beyond it. All runs of a study draw the same prompts from the
same noise: nothing here speaks for other prompts.

How often the intervals cover, and the hierarchical bootstrap beside them: docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.config.metrics import MetricSpec
from scoft_hpc.results.study import Study, StudyRun

CONFIDENCE = 0.95
UNBOUNDED = (-math.inf, math.inf)

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
        """Half of the interval's width; None where there is none: nothing was repeated, or all of it agrees."""
        return (self.high - self.low) / 2 if math.isfinite(self.high - self.low) else None


@dataclass(frozen=True)
class Units:
    """What an interval and a test count: the highest level that was repeated.

    Attributes:
        over: what the units are.
        means: each unit's mean, [n].
        samples: how many samples a run of each unit has, all units together: the runs of a culture share their prompts
            and noises, so more of them are no further samples of the culture.
    """

    over: Literal["cultures", "seeds", "samples"]
    means: NDArray[np.float64]
    samples: float


def values(study: Study, measure: MetricSpec, variant: str, *, culture: str | None = None) -> Values:
    """What the variant's scored runs have of a measure, of one culture or of all; runs without it are left out."""
    measured: dict[tuple[str, int], Mapping[str, float]] = {}
    for run in study.of(culture=culture, variant=variant):
        whole = run.metric(measure.name)
        if units := of_units(run, measure):
            measured[run.culture, run.seed] = units
        elif whole is not None:
            measured[run.culture, run.seed] = {"": whole}
    return measured


def of_units(run: StudyRun, measure: MetricSpec) -> Mapping[str, float]:
    """The values of a run's samples or prompts, by a name that other variants' runs share; {} of a set's measure.

    A prompt goes by its place: baselines may phrase it differently.
    """
    rows = run.scores.get(measure.rows_key, []) if measure.rows_key else []
    return {
        str(row.get("file", f"prompt {place}")): float(value)
        for place, row in enumerate(rows)
        if (value := row.get(measure.name)) is not None
    }


def level(study: Study, measure: MetricSpec, variant: str, *, culture: str | None = None) -> Estimate | None:
    """A variant's mean, of one culture or of all; None where nothing is scored yet."""
    return mean(values(study, measure, variant, culture=culture), bounds=measure.bounds)


def of_difference(measure: MetricSpec) -> tuple[float, float]:
    """The least and the greatest value that a difference can take."""
    low, high = measure.bounds
    return low - high, high - low


def paired(first: Values, second: Values) -> Values:
    """Differences over the same (culture, seed) and the same samples or prompts."""
    differences: dict[tuple[str, int], dict[str, float]] = {}
    for key, samples in first.items():
        if other := second.get(key):
            shared = {name: samples[name] - other[name] for name in samples if name in other}
            # Runs that were sampled differently can still be compared by their means.
            differences[key] = shared or {"": _mean(samples) - _mean(other)}
    return differences


def mean(measured: Values, *, bounds: tuple[float, float] = UNBOUNDED) -> Estimate | None:
    """The mean over cultures of the mean over seeds of the mean over samples; None of nothing.

    Every culture counts alike, however many of its runs are done, and so does every seed of a culture. `bounds` are
    the least and the greatest value that the measure can take.
    """
    cultures = nest(measured)
    if not cultures:
        return None
    counted = units(cultures)
    runs = [run for culture in cultures for run in culture]
    shares = bounds == (0.0, 1.0) and all(np.isin(run, (0.0, 1.0)).all() for run in runs)
    low, high = interval(counted.means, bounds, counted.samples if shares else math.inf)
    return Estimate(
        value=float(counted.means.mean()),
        low=float(low),
        high=float(high),
        cultures=len(cultures),
        runs=len(runs),
        samples=sum(run.size for run in runs),
    )


def nest(measured: Values) -> list[list[NDArray[np.float64]]]:
    """Cultures of runs of samples. Runs of a culture that agree sample by sample are one: an untrained model's."""
    cultures: dict[str, list[Mapping[str, float]]] = {}
    for (culture, _), samples in sorted(measured.items()):
        if samples:
            cultures.setdefault(culture, []).append(samples)
    return [
        [
            np.fromiter(run.values(), dtype=np.float64)
            for run in (runs if runs != runs[:1] * len(runs) else runs[:1])
        ]
        for runs in cultures.values()
    ]


def units(cultures: list[list[NDArray[np.float64]]]) -> Units:
    """The units of nested values (`nest`), of which there is at least one."""
    if len(cultures) > 1:
        means = [np.mean([run.mean() for run in culture]) for culture in cultures]
        return Units(
            "cultures", np.array(means), sum(float(np.mean([run.size for run in c])) for c in cultures)
        )
    (runs,) = cultures
    if len(runs) > 1:
        return Units("seeds", np.array([run.mean() for run in runs]), sum(run.size for run in runs))
    return Units("samples", runs[0], runs[0].size)


def interval(
    means: NDArray[np.float64], bounds: tuple[float, float] = UNBOUNDED, samples: float = math.inf
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % interval of the mean that units were drawn from: Student's t, and near a bound Wilson's score.

    A mean between two bounds spreads the less the nearer it is to one of them. Wilson's interval knows that of a share
    of n samples; here n is the effective number, of independent samples that would spread as the units do, and
    Student's t stands for the normal's quantile since that is known from few units (Korn and Graubard, Survey
    Methodology 24, 1998; Dean and Pagano, J. Surv. Stat. Methodol. 3, 2015). Far from the bounds it is Student's.

    Args:
        means: of each unit, [..., n].
        bounds: the least and the greatest value that they can take.
        samples: of a share, how many samples the units are made of: no more are effective. It is what there is to go by
            where no sample counts, or all do.

    Returns:
        Low and high, [...]: infinite with one unit, and where all units agree without their being shares.
    """
    from scipy.special import stdtrit

    n, centre, (low, high) = means.shape[-1], means.mean(axis=-1), bounds
    if n < 2:
        return np.full_like(centre, -math.inf), np.full_like(centre, math.inf)
    t = stdtrit(n - 1, (1 + CONFIDENCE) / 2)
    variance = means.var(axis=-1, ddof=1) / n
    varies = ~agree(means)
    if math.isfinite(high - low):
        width = high - low
        share = (centre - low) / width
        effective = np.full_like(share, samples)
        np.divide(share * (1 - share) * width**2, variance, out=effective, where=varies)
        pull = t**2 / np.minimum(effective, samples)
        middle = low + width * (share + pull / 2) / (1 + pull)
        half = width / (1 + pull) * np.sqrt(pull * (share * (1 - share) + pull / 4))
        varies |= math.isfinite(samples)
    else:
        middle, half = centre, t * np.sqrt(variance)
    return (
        np.where(varies, np.maximum(middle - half, low), -math.inf),
        np.where(varies, np.minimum(middle + half, high), math.inf),
    )


def agree(means: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether units [..., n] differ by rounding alone, which says nothing of how far units lie apart, [...]."""
    return np.asarray(np.ptp(means, axis=-1) <= 1e-12 * np.abs(means).max(axis=-1))


def _mean(samples: Mapping[str, float]) -> float:
    return sum(samples.values()) / len(samples)
