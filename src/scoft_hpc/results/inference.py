"""Whether a difference between two variants holds: effect size, p-value, and Holm's correction over a family.

The unit is the highest level that was repeated, as in `scoft_hpc.results.statistics`: a culture's mean difference
where there are several cultures, else a seed's, else a sample's. What is claimed reaches as far as that unit does:
from samples of one run, nothing follows for another run. All runs of a study draw the same prompts, so nothing
here speaks for other prompts either.

The p-value is two-sided and comes from one of two tests, chosen by the number of units and the size of the family,
never by the values:

- `sign flips`: if the two variants do not differ, each unit's difference may as well have had the other sign. Of all
  2^n patterns of signs, p is the share whose mean lies at least as far from zero as the one found (Fisher, "The
  Design of Experiments", 1935, section 21). Exact for any symmetric distribution, but never below 2^(1-n): five
  units cannot give less than .0625.
- `t`: Student's paired test, where sign flips could not get below the level after correction, or are too many to
  count. It leans on normal differences, and few units cannot show whether they are.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.results.measures import Measure
from scoft_hpc.results.statistics import CONFIDENCE, Estimate, Values, mean, of_difference, paired, values
from scoft_hpc.results.study import Study

Key = TypeVar("Key", bound=Hashable)
LEVEL = 1 - CONFIDENCE
MOST_FLIPPED = 20
"""Units beyond which the patterns of signs are not all counted."""
MOST_T = 1000.0
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
        p: uncorrected; None where the units cannot tell (one unit, or a t test of units that all agree).
        test: "sign flips" or "t"; None where p is.
        corrected: p after Holm's correction over the family; None where p is.
    """

    difference: Estimate
    over: str
    units: int
    effect: Effect | None
    p: float | None
    test: str | None
    corrected: float | None

    @property
    def holds(self) -> bool:
        """Whether there is a difference, after correction."""
        return self.corrected is not None and self.corrected <= LEVEL


def comparisons(
    study: Study, measures: Sequence[Measure], reference: str
) -> dict[tuple[str, str], Comparison]:
    """(measure's name, variant) -> every other variant against `reference`, paired; all of them are one family."""
    family = {
        (measure.name, variant): paired(values(study, measure, variant), values(study, measure, reference))
        for measure in measures
        for variant in study.variants
        if variant != reference
    }
    bounds = {(m.name, v): of_difference(m) for m in measures for v in study.variants}
    return compare(family, bounds={key: bounds[key] for key in family})


def compare(
    family: Mapping[Key, Values], *, bounds: Mapping[Key, tuple[float, float]] | None = None
) -> dict[Key, Comparison]:
    """Each of a family of paired differences, corrected for there being several; those without a value are left out.

    Args:
        family: differences as `scoft_hpc.results.statistics.paired` gives them.
        bounds: the least and the greatest value that a difference can take, where there are any.
    """
    family = {key: found for key, found in family.items() if any(found.values())}
    alone = {
        key: _compare(found, (bounds or {}).get(key, (-math.inf, math.inf)), len(family))
        for key, found in family.items()
    }
    corrected = holm({key: found.p for key, found in alone.items() if found.p is not None})
    return {key: replace(found, corrected=corrected.get(key)) for key, found in alone.items()}


def holm(ps: Mapping[Key, float]) -> dict[Key, float]:
    """p-values corrected so that with any of the family's hypotheses true, one of them is rejected by chance in at
    most `LEVEL` of studies, however they depend on each other (Holm, Scand. J. Statist. 6, 1979)."""
    corrected: dict[Key, float] = {}
    largest = 0.0
    for rank, (key, p) in enumerate(sorted(ps.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, p * (len(ps) - rank)))
        corrected[key] = largest
    return {key: corrected[key] for key in ps}


def units(found: Values) -> tuple[str, NDArray[np.float64]]:
    """What the highest repeated level is, and its units' values [n]."""
    cultures = list(runs(found).values())
    if len(cultures) > 1:
        return "cultures", np.array([culture.mean() for culture in cultures])
    if cultures and len(cultures[0]) > 1:
        return "seeds", cultures[0]
    return "samples", np.array([value for samples in found.values() for value in samples.values()])


def runs(found: Values) -> dict[str, NDArray[np.float64]]:
    """culture -> its runs' means [seeds]."""
    cultures: dict[str, list[float]] = {}
    for (culture, _), samples in sorted(found.items()):
        if samples:
            cultures.setdefault(culture, []).append(float(np.mean(list(samples.values()))))
    return {culture: np.array(means) for culture, means in cultures.items()}


def sign_flips(differences: NDArray[np.float64]) -> float:
    """Two-sided p of the mean of `differences` [n]: the share of all patterns of signs at least as far from zero."""
    sums = differences[:1]  # the first sign is held: a pattern and its mirror image are equally far
    for value in differences[1:]:
        sums = np.concatenate([sums + value, sums - value])
    rounding = 1e-9 * float(np.abs(differences).sum())
    return float(np.mean(np.abs(sums) >= abs(differences.sum()) - rounding))


def t_test(differences: NDArray[np.float64]) -> float:
    """Two-sided p of the mean of `differences` [n] by Student's t, n - 1 degrees of freedom; they must not agree."""
    from scipy.special import stdtr

    return float(2 * stdtr(len(differences) - 1, -abs(_t(differences))))


def hedges(differences: NDArray[np.float64]) -> Effect | None:
    """Mean over standard deviation of `differences` [n], n >= 3, without its small-sample bias (Hedges, J. Educ.
    Stat. 6, 1981), with the exact interval for normal differences, which inverts the noncentral t."""
    from scipy.special import gammaln

    n = len(differences)
    if n < 3 or _agree(differences):
        return None
    t, df = _t(differences), n - 1
    unbiased = math.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / math.sqrt(df / 2)
    low, high = _noncentrality(t, df)
    return Effect(unbiased * t / math.sqrt(n), low / math.sqrt(n), high / math.sqrt(n))


def _compare(found: Values, bounds: tuple[float, float], family: int) -> Comparison:
    over, differences = units(found)
    difference, n = mean(found, bounds=bounds), len(differences)
    assert difference is not None  # there is a value
    p, test = None, None
    if n <= MOST_FLIPPED and 2.0 ** (1 - n) <= LEVEL / family:
        p, test = sign_flips(differences), "sign flips"
    elif n > 1 and not _agree(differences):
        p, test = t_test(differences), "t"
    return Comparison(difference, over, n, hedges(differences), p, test, corrected=None)


def _agree(differences: NDArray[np.float64]) -> bool:
    """Whether the units differ by rounding alone, which says nothing of how far units lie apart."""
    return bool(np.ptp(differences) <= 1e-12 * np.abs(differences).max())


def _t(differences: NDArray[np.float64]) -> float:
    return float(differences.mean() / differences.std(ddof=1) * math.sqrt(len(differences)))


def _noncentrality(t: float, df: int) -> tuple[float, float]:
    """95 % interval of the noncentrality of a t found."""
    from scipy.special import chdtri, nctdtrinc

    tail = LEVEL / 2
    if abs(t) > MOST_T:  # what is uncertain is the standard deviation alone
        low, high = (abs(t) * math.sqrt(chdtri(df, q) / df) for q in (1 - tail, tail))
    else:
        low, high = nctdtrinc(df, 1 - tail, abs(t)), nctdtrinc(df, tail, abs(t))
    return (float(low), float(high)) if t >= 0 else (float(-high), float(-low))
