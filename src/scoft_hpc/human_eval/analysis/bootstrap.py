"""Other raters like these: raters are resampled whole, within their cultures.

A rater's answers hang together, so raters are the units, and a culture's number of raters is the survey's choice, so
cultures are strata. Of a culture's n raters n − 1 are drawn with replacement, each counted n / (n − 1) times: a
bootstrap whose variance has no bias for a mean (Rao and Wu, J. Amer. Statist. Assoc. 83, 1988), where that of n of n is
too small by (n − 1) / n. Cultures with a single rater, who cannot be drawn from, are one stratum together, and one that
has no fellow is with the smallest other culture (collapsed strata: what cultures differ by is taken for noise).

Intervals are Student's t of the resamples' standard deviation: percentiles of resamples of few raters cover too
seldom. Cultures count alike, so a culture of n raters brings 1 / n of a rater's variance, known with n − 1 degrees of
freedom, and the sum has as many as Satterthwaite (Biometrics 2, 1946) says: raters less cultures where all have as many
raters, and hardly more than the smallest has where it is much smaller. No interval is shorter than that of the model in
which every answer is another rater's, whose standard deviation rests on answers and so takes the normal's quantile: of
few raters the resamples' can come out too small by chance, and unanimous ones have none (after Angrist and Pischke,
Mostly Harmless Econometrics, 2009, section 8.2.3, who take the greater of the two deviations). How often they
cover: docs/survey-analysis.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoft_hpc.human_eval.analysis.rankings import Array, Index
from scoft_hpc.results.statistics import CONFIDENCE

RESAMPLES = 1000


@dataclass(frozen=True)
class Resamples:
    """`weights` [resamples, raters]: how often each counts; `dof`: of Student's t, 0 where nothing can be told."""

    weights: Array
    dof: float


def resample(strata: Index, rng: np.random.Generator, count: int = RESAMPLES) -> Resamples:
    """Draw raters again within their strata [raters], which are numbered from 0."""
    weights = np.ones((count, len(strata)))
    for members in _drawn_together(strata):
        n = len(members)
        if n > 1:
            drawn = rng.multinomial(n - 1, np.full(n, 1 / n), size=count)
            weights[:, members] = drawn * (n / (n - 1))
    return Resamples(weights, _satterthwaite_dof(np.bincount(strata)))


def _drawn_together(strata: Index) -> list[Index]:
    sizes = np.bincount(strata)
    alone = (sizes == 1)[strata]
    if alone.sum() == 1 and len(sizes) > 1:
        alone |= strata == np.where(sizes > 1, sizes, len(strata)).argmin()
    merged = np.where(alone, -1, strata)
    return [np.flatnonzero(merged == one) for one in np.unique(merged)]


def _satterthwaite_dof(sizes: Index) -> float:
    """Satterthwaite's, of strata that count alike and whose units spread alike; single ones are one stratum."""
    several = sizes[sizes > 1]
    single = float((sizes == 1).sum())
    variances, freedoms = 1 / several, several - 1.0
    if single and len(sizes) > 1:
        variances, freedoms = np.append(variances, single), np.append(freedoms, max(single - 1, 1))
    return float(variances.sum() ** 2 / (variances**2 / freedoms).sum()) if len(variances) else 0.0


def t_interval(values: Array, replicates: Array, floor: Array, dof: float) -> tuple[Array, Array]:
    """95 % interval of values [...] from replicates [resamples, ...] and the model's standard deviation `floor` [...].

    Returns:
        Low and high [...], infinite where there are no degrees of freedom.
    """
    from scipy.special import ndtri, stdtrit

    if dof <= 0:
        return np.full_like(values, -np.inf), np.full_like(values, np.inf)
    deviation = np.sqrt(np.mean((replicates - replicates.mean(axis=0)) ** 2, axis=0))
    tail = (1 + CONFIDENCE) / 2
    half = np.maximum(stdtrit(dof, tail) * deviation, ndtri(tail) * floor)
    return values - half, values + half


def equal_strata_weights(weights: Array, strata: Index, size: Array) -> Array:
    """Weights [resamples, raters] under which every stratum counts alike: as the mean stratum, by `size` [raters].

    A single rater's stratum counts as often as the rater is drawn: that is all that can vary of it.
    """
    of = strata == np.arange(strata.max() + 1)[:, None] if len(strata) else np.zeros((0, 0), dtype=bool)
    alone = of.sum(axis=1) == 1
    total = np.where(alone, of @ size, weights @ (of * size).T.astype(np.float64))
    mean = size.sum() / max(len(of), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(total > 0, mean / total, 0.0)
    return np.asarray(weights * (factor @ of))


def logit(share: Array) -> Array:
    return np.asarray(np.log(share) - np.log1p(-share))


def expit(odds: Array) -> Array:
    from scipy.special import expit as logistic

    return np.asarray(logistic(odds))
