"""Whether a difference between two variants holds: effect size, p-value, and Holm's correction over a family.

The units are those of the interval beside it (`scoft_hpc.results.statistics.units`): cultures, else seeds, else
samples. What is claimed reaches as far as they do: from samples of one run, nothing follows for another run.

The p-value is that of Student's paired t test, two-sided. It leans on normal differences, and few units cannot show
whether they are; how often it finds a difference where there is none, also of shares near 0, is counted in
docs/statistics.md. A test of signs would lean on less, but five units cannot give it a p below .0625, and less still
after a correction.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.config.metrics import MetricSpec
from scoft_hpc.results.holm import holm
from scoft_hpc.results.statistics import (
    CONFIDENCE,
    UNBOUNDED,
    Estimate,
    Values,
    agree,
    mean,
    nest,
    of_difference,
    paired,
    units,
    values,
)
from scoft_hpc.results.study import Study

Key = TypeVar("Key", bound=Hashable)
LEVEL = 1 - CONFIDENCE
MAX_T = 1000.0
"""Where the noncentral t is as good as its limit, and its inversion no longer ends in reasonable time."""


@dataclass(frozen=True)
class Effect:
    """A standardised mean difference (Hedges' g of paired differences) with its 95 % interval.

    It is in standard deviations of the units' differences: of cultures, seeds or samples, and so is to be compared
    only between differences over the same units.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """A paired difference and how sure it is.

    Attributes:
        difference: the mean with its interval, which knows nothing of the family.
        over: "cultures", "seeds" or "samples": what the units are.
        units: how many there are.
        effect: None below three units, or where they all agree.
        p: uncorrected; None where the units cannot tell: one alone, or all of them agree.
        corrected: p after Holm's correction over the family; None where p is.
    """

    difference: Estimate
    over: str
    units: int
    effect: Effect | None
    p: float | None
    corrected: float | None

    @property
    def holds(self) -> bool:
        """Whether there is a difference, after correction."""
        return self.corrected is not None and self.corrected <= LEVEL


def comparisons(
    study: Study, measures: Sequence[MetricSpec], variants: Sequence[str], reference: str
) -> dict[tuple[str, str], Comparison]:
    """(measure's name, variant) -> the variant against `reference`, paired; all of them are one family."""
    family = {
        (measure.name, variant): paired(values(study, measure, variant), values(study, measure, reference))
        for measure in measures
        for variant in variants
    }
    bounds = {measure.name: of_difference(measure) for measure in measures}
    return compare(family, bounds={key: bounds[key[0]] for key in family})


def compare(
    family: Mapping[Key, Values], *, bounds: Mapping[Key, tuple[float, float]] | None = None
) -> dict[Key, Comparison]:
    """Each of a family of paired differences, corrected for there being several; those without a value are left out.

    Args:
        family: differences as `scoft_hpc.results.statistics.paired` gives them.
        bounds: the least and the greatest value that a difference can take, where there are any.
    """
    alone = {
        key: _compare(values, (bounds or {}).get(key, UNBOUNDED))
        for key, values in family.items()
        if any(values.values())
    }
    corrected = holm({key: result.p for key, result in alone.items() if result.p is not None})
    return {key: replace(result, corrected=corrected.get(key)) for key, result in alone.items()}


def t_test(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Two-sided p of the mean of `differences` [..., n] by Student's t, n - 1 degrees of freedom, [...].

    n is at least 2, and they must not all agree."""
    from scipy.special import stdtr

    return np.asarray(2 * stdtr(differences.shape[-1] - 1, -np.abs(_t(differences))))


def hedges(differences: NDArray[np.float64]) -> Effect | None:
    """Mean over standard deviation of `differences` [n], n >= 3, without its small-sample bias (Hedges, J. Educ.
    Stat. 6, 1981), with the exact interval for normal differences, which inverts the noncentral t."""
    from scipy.special import gammaln

    n = len(differences)
    if n < 3 or agree(differences):
        return None
    t, df = float(_t(differences)), n - 1
    unbiased = math.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    low, high = _noncentrality(t, df)
    return Effect(unbiased * t / math.sqrt(n), low / math.sqrt(n), high / math.sqrt(n))


def _compare(values: Values, bounds: tuple[float, float]) -> Comparison:
    counted, difference = units(nest(values)), mean(values, bounds=bounds)
    assert difference is not None  # there is a value
    means = counted.means
    p = float(t_test(means)) if len(means) > 1 and not agree(means) else None
    return Comparison(difference, counted.over, len(means), hedges(means), p, corrected=None)


def _t(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    error = differences.std(axis=-1, ddof=1) / math.sqrt(differences.shape[-1])
    return np.asarray(differences.mean(axis=-1) / error)


def _noncentrality(t: float, df: int) -> tuple[float, float]:
    """95 % interval of the noncentrality of a t found."""
    from scipy.special import chdtri, nctdtrinc

    tail = LEVEL / 2
    if abs(t) > MAX_T:  # what is uncertain is the standard deviation alone
        low, high = (abs(t) * math.sqrt(chdtri(df, q) / df) for q in (1 - tail, tail))
    else:
        low, high = nctdtrinc(df, 1 - tail, abs(t)), nctdtrinc(df, tail, abs(t))
    return (float(low), float(high)) if t >= 0 else (float(-high), float(-low))
