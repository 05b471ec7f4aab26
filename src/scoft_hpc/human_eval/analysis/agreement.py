"""How far raters agree: Krippendorff's α of their ranks, 1 where all agree and about 0 where ranks are chance.

A unit is a picture of a page under one question, a coder a rater, a value the mean rank, ordinal. The interval speaks
of other raters. It is a jackknife, of one rater at a time within cultures, with Student's t: a bootstrap would put
copies of a rater beside each other, who agree, and so raise α; a bootstrap of units would speak of other pages
judged by the same people.

    var α = Σ_culture (n − 1) / n · Σ_i (α_(i) − mean α_(·))²        (Shao and Tu, The Jackknife and Bootstrap, 1995)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoft_hpc.human_eval.analysis.rankings import Array, Rankings
from scoft_hpc.results.statistics import CONFIDENCE


@dataclass(frozen=True)
class Agreement:
    """`alpha` with its 95 % interval, infinite where nothing tells: fewer than three raters, or all agree."""

    alpha: float
    low: float
    high: float


def agreement(found: Rankings) -> Agreement | None:
    """None where α is not defined: no picture ranked by two, or every picture given one and the same rank."""
    given = _given(found)
    whole = given.sum(axis=0)
    alpha = _alpha(whole)
    if alpha is None:
        return None
    without = [_alpha(whole - one) for one in given]
    strata = found.strata
    variance, dof = 0.0, 0
    for stratum in np.unique(strata):
        left = [value for value, s in zip(without, strata, strict=True) if s == stratum and value is not None]
        if len(left) > 1:
            # Without either of two raters the culture's pairs are gone, so that both say the same.
            middle = np.mean(left) if len(left) > 2 else alpha
            variance += (len(left) - 1) / len(left) * float(np.sum((np.array(left) - middle) ** 2))
            dof += len(left) - 1
    if dof < 2 or variance < 1e-18:
        return Agreement(alpha, -np.inf, np.inf)
    from scipy.special import stdtrit

    half = float(stdtrit(dof, (1 + CONFIDENCE) / 2)) * variance**0.5
    return Agreement(alpha, alpha - half, min(alpha + half, 1.0))


def _given(found: Rankings) -> Array:
    """How often each rater gave each rank to each picture, [raters, pages × systems, ranks]: 1, 1.5, 2 …"""
    systems = len(found.systems)
    values = np.zeros((len(found.raters), len(found.pages), systems, 2 * systems - 1))
    row, system = np.nonzero(np.isfinite(found.ranks))
    level = np.rint(2 * found.ranks[row, system] - 2).astype(np.intp)
    values[found.rater[row], found.page[row], system, level] = 1.0
    return values.reshape(len(found.raters), -1, 2 * systems - 1)


def _alpha(values: Array) -> float | None:
    import krippendorff

    together = values[values.sum(axis=1) > 1]
    if not len(together) or (together.sum(axis=0) > 0).sum() < 2:
        return None
    return float(krippendorff.alpha(value_counts=together.astype(np.intp), level_of_measurement="ordinal"))
