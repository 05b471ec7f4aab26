"""Bootstrap over raters, within their cultures: results generalise to other raters like these.

A rater's answers are correlated, so raters are the sampling units; the number of raters of a culture is part of the
survey's design, so cultures are strata. Of a culture's n raters, n − 1 are drawn with replacement and each is weighted
by n / (n − 1): the variance of a mean is then unbiased (Rao and Wu, J. Amer. Statist. Assoc. 83, 1988), where that of
n of n is too small by (n − 1) / n. Cultures with a single rater are one stratum together, and a sole such culture
joins the smallest other one (collapsed strata: differences between these cultures count as noise).

Intervals are Student's t with the standard deviation of the resamples, because percentiles of resamples of few raters
cover too seldom. Cultures have equal weight, so a culture of n raters contributes 1 / n of a rater's variance with
n − 1 degrees of freedom, and the sum has Satterthwaite's (Biometrics 2, 1946): raters minus cultures where all have the
same number of raters, and few where one culture is much smaller than the others. No interval is shorter than that of a
model in which every answer comes from a different rater, with a normal quantile: the resamples' deviation of few raters
can be too small by chance, and that of unanimous raters is zero (after Angrist and Pischke, Mostly Harmless
Econometrics, 2009, section 8.2.3, who take the greater of the two deviations). Coverage: docs/survey-analysis.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit

from scoft_hpc.human_eval.analysis.rankings import Array, Index
from scoft_hpc.results.statistics import CONFIDENCE

RESAMPLES = 1000


@dataclass(frozen=True)
class Resamples:
    """`weights` [resamples, raters] of each rater; `dof`: Student's t degrees of freedom, 0 for a single rater."""

    weights: Array
    dof: float


def resample(strata: Index, rng: np.random.Generator, count: int = RESAMPLES) -> Resamples:
    """Draw raters within their strata [raters], which are numbered from 0."""
    weights = np.ones((count, len(strata)))
    for members in _collapsed_strata(strata):
        n = len(members)
        if n > 1:
            drawn = rng.multinomial(n - 1, np.full(n, 1 / n), size=count)
            weights[:, members] = drawn * (n / (n - 1))
    return Resamples(weights, _satterthwaite_dof(np.bincount(strata)))


def _collapsed_strata(strata: Index) -> list[Index]:
    """The raters of each stratum; strata with a single rater are merged."""
    sizes = np.bincount(strata)
    single = (sizes == 1)[strata]
    if single.sum() == 1 and len(sizes) > 1:
        single |= strata == np.where(sizes > 1, sizes, len(strata)).argmin()
    merged = np.where(single, -1, strata)
    return [np.flatnonzero(merged == stratum) for stratum in np.unique(merged)]


def _satterthwaite_dof(sizes: Index) -> float:
    """For strata of equal weight and equal variance between raters; single raters are one stratum."""
    several = sizes[sizes > 1]
    n_single = float((sizes == 1).sum())
    variances, dofs = 1 / several, several - 1.0
    if n_single and len(sizes) > 1:
        variances, dofs = np.append(variances, n_single), np.append(dofs, max(n_single - 1, 1))
    return float(variances.sum() ** 2 / (variances**2 / dofs).sum()) if len(variances) else 0.0


def t_interval(values: Array, replicates: Array, model_sd: Array, dof: float) -> tuple[Array, Array]:
    """95 % interval of values [...] from replicates [resamples, ...], no shorter than with `model_sd` [...].

    Returns:
        Low and high [...], infinite without degrees of freedom.
    """
    if dof <= 0:
        return np.full_like(values, -np.inf), np.full_like(values, np.inf)
    deviation = np.sqrt(np.mean((replicates - replicates.mean(axis=0)) ** 2, axis=0))
    tail = (1 + CONFIDENCE) / 2
    half = np.maximum(stdtrit(dof, tail) * deviation, ndtri(tail) * model_sd)
    return values - half, values + half


def equal_strata_weights(weights: Array, strata: Index, size: Array) -> Array:
    """Scale weights [resamples, raters] so that every stratum has the mean stratum's total `size` [raters].

    The weight of a single rater's stratum stays proportional to how often the rater is drawn, as nothing else varies.
    """
    members = strata == np.arange(strata.max() + 1)[:, None] if len(strata) else np.zeros((0, 0), dtype=bool)
    single = members.sum(axis=1) == 1
    total = np.where(single, members @ size, weights @ (members * size).T.astype(np.float64))
    mean = size.sum() / max(len(members), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(total > 0, mean / total, 0.0)
    return np.asarray(weights * (factor @ members))


def logit(share: Array) -> Array:
    return np.asarray(np.log(share) - np.log1p(-share))
