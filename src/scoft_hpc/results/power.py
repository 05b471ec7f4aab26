"""How many more seeds or cultures would show a difference of a stated size, from how far they lie apart now.

The model is that of the interval beside it: a run's mean difference is the mean over cultures, plus what its culture
adds, plus what its seed (and its samples) add, each normal. Of C cultures with S seeds each, the mean has

    variance = (cultures + seeds / S) / C

with C - 1 degrees of freedom; in a study of one culture seeds / S, with S - 1, and what is learnt is of that culture
alone. The power of the two-sided t test then follows from the noncentral t.

Read the answer as an order of magnitude. The variances are taken as known, but come from few units: from five
cultures, the standard deviation is known to a factor of 0.6 to 2.9 (95 %), and the number needed goes with its
square. Ask for the difference that would matter, not for the one that was found: the power at the found difference
only restates its p-value. For a family of comparisons, give `level` divided by how many they are.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.results.inference import LEVEL
from scoft_hpc.results.statistics import Values, nest

POWER = 0.8
MAX_UNITS = 10_000
"""Units beyond which no study goes; more are reported as none."""

QUANTILES = 2000
"""Points at which the distribution of a standard deviation is taken; enough for power to within .0001."""


@dataclass(frozen=True)
class Components:
    """Where the variance of a paired difference comes from.

    Attributes:
        cultures: variance between cultures; None with one. Where each has a single seed, the seeds' is in it.
        seeds: variance between the runs of a culture, the samples' in it; None where no culture has two.
        n_cultures, n_seeds: what it was found from; seeds a culture, their harmonic mean.
    """

    cultures: float | None
    seeds: float | None
    n_cultures: int
    n_seeds: float


@dataclass(frozen=True)
class SampleSize:
    """Units to show a difference: `total` of them, of which `more` are missing; both None where no number is enough.

    `of` is "seeds", a culture, or "cultures", with as many seeds each as now.
    """

    total: int | None
    more: int | None
    of: str = "seeds"

    @property
    def text(self) -> str:
        """Those that are missing, such as `4 seeds`."""
        if self.more is None:
            return f"> {MAX_UNITS:,} {self.of}"
        return f"{self.more:,} {self.of if self.more != 1 else self.of[:-1]}" if self.more else "none"


def components(values: Values) -> Components:
    """Variances of paired differences by analysis of variance on unweighted means; below zero counts as zero."""
    cultures = [np.array([run.mean() for run in runs]) for runs in nest(values)]
    freedom = sum(len(culture) - 1 for culture in cultures)
    inverse = float(np.mean([1 / len(culture) for culture in cultures])) if cultures else math.nan
    seeds = sum(float(((c - c.mean()) ** 2).sum()) for c in cultures) / freedom if freedom else None
    between = None
    if len(cultures) > 1:
        of_means = float(np.var([culture.mean() for culture in cultures], ddof=1))
        between = max(0.0, of_means - (seeds or 0.0) * inverse)
    return Components(between, seeds, len(cultures), 1 / inverse)


def needed(variances: Components, difference: float, *, level: float = LEVEL) -> SampleSize | None:
    """Seeds, or cultures where no number of seeds is enough or a single one does not tell; None where neither does."""
    seeds = seeds_needed(variances, difference, level=level)
    if seeds is not None and seeds.total is not None:
        return seeds
    return cultures_needed(variances, difference, level=level) or seeds


def power(error: float, difference: float, units: int, *, level: float = LEVEL) -> float:
    """How often the two-sided t test over `units` finds `difference`, when the mean's standard error is `error`.

    Both tails of the noncentral t, as the normal's tails averaged over what the standard deviation may be found as:
    scipy's own is not a number for the tail on the other side.
    """
    from scipy.special import ndtr, stdtrit

    if units < 2:
        return 0.0
    if error == 0:
        return float(difference != 0)
    df, shift = units - 1, abs(difference) / error
    needed = stdtrit(df, 1 - level / 2) * _deviations(df)
    return float(np.mean(ndtr(shift - needed) + ndtr(-shift - needed)))


@lru_cache(maxsize=256)
def _deviations(df: int) -> NDArray[np.float64]:
    """What a standard deviation of 1 is found as, in equal shares [QUANTILES]; a search asks for the same again."""
    from scipy.special import chdtri

    return np.asarray(np.sqrt(chdtri(df, (np.arange(QUANTILES) + 0.5) / QUANTILES) / df))


def seeds_needed(
    variances: Components, difference: float, *, level: float = LEVEL, enough: float = POWER
) -> SampleSize | None:
    """Seeds a culture, with the cultures that there are; None where no culture has two seeds to tell from."""
    seeds = variances.seeds
    if seeds is None:
        return None

    def reached(number: int) -> float:
        if variances.cultures is None:
            return power(math.sqrt(seeds / number), difference, number, level=level)
        error = math.sqrt((variances.cultures + seeds / number) / variances.n_cultures)
        return power(error, difference, variances.n_cultures, level=level)

    have = math.ceil(variances.n_seeds - 1e-9)
    least = 2 if variances.cultures is None else 1
    total = bisect_left(range(MAX_UNITS + 1), enough, lo=least, key=reached)
    return _needed(total, have, "seeds")


def cultures_needed(
    variances: Components, difference: float, *, level: float = LEVEL, enough: float = POWER
) -> SampleSize | None:
    """Cultures, with as many seeds each as now; None where one culture cannot tell how far cultures lie apart."""
    if variances.cultures is None:
        return None
    variance = variances.cultures + (variances.seeds or 0.0) / variances.n_seeds

    def reached(number: int) -> float:
        return power(math.sqrt(variance / number), difference, number, level=level)

    total = bisect_left(range(MAX_UNITS + 1), enough, lo=2, key=reached)
    return _needed(total, variances.n_cultures, "cultures")


def _needed(total: int, have: int, of: str) -> SampleSize:
    return SampleSize(None, None, of) if total > MAX_UNITS else SampleSize(total, max(0, total - have), of)
