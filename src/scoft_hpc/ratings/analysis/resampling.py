"""Other raters like these: raters are resampled whole, within their cultures.

A rater's answers hang together, so raters are the units, and a culture's number of raters is the survey's choice, so
cultures are strata. Of a culture's n raters n − 1 are drawn with replacement, each counted n / (n − 1) times: a
bootstrap whose variance has no bias for a mean (Rao and Wu, J. Amer. Statist. Assoc. 83, 1988), where that of n of n is
too small by (n − 1) / n. Cultures with a single rater, who cannot be drawn from, are one stratum together (collapsed
strata).

Intervals are Student's t of the resamples' standard deviation, with as many degrees of freedom as there are raters more
than strata: percentiles of resamples of a handful of raters cover too seldom. None is shorter than that of the model in
which every answer is another rater's, whose standard deviation rests on answers and so takes the normal's quantile: of
few raters the resamples' can come out too small by chance, and unanimous ones have none (after Angrist and Pischke,
Mostly Harmless Econometrics, 2009, section 8.2.3, who take the greater of the two deviations). How often they
cover: docs/survey-analysis.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoft_hpc.ratings.analysis.rankings import Array, Index
from scoft_hpc.results.statistics import CONFIDENCE

RESAMPLES = 1000


@dataclass(frozen=True)
class Resamples:
    """`weights` [resamples, raters]: how often each counts; `freedom`: raters more than strata, 0 where nothing can be
    told."""

    weights: Array
    freedom: int


def resample(strata: Index, rng: np.random.Generator, count: int = RESAMPLES) -> Resamples:
    """Draw raters again within their strata [raters]."""
    sizes = np.bincount(strata) if len(strata) else np.zeros(0, dtype=np.intp)
    merged = np.where(sizes[strata] > 1, strata, -1) if len(strata) else strata
    weights = np.ones((count, len(strata)))
    freedom = 0
    for stratum in np.unique(merged):
        members = np.flatnonzero(merged == stratum)
        n = len(members)
        if n > 1:
            drawn = rng.multinomial(n - 1, np.full(n, 1 / n), size=count)
            weights[:, members] = drawn * (n / (n - 1))
            freedom += n - 1
    return Resamples(weights, freedom)


def spread(values: Array, replicates: Array, floor: Array, freedom: int) -> tuple[Array, Array]:
    """95 % interval of values [...] from replicates [resamples, ...] and the model's standard deviation `floor` [...].

    Returns:
        Low and high [...], infinite where there are no degrees of freedom.
    """
    from scipy.special import ndtri, stdtrit

    if freedom < 1:
        return np.full_like(values, -np.inf), np.full_like(values, np.inf)
    deviation = np.sqrt(np.mean((replicates - replicates.mean(axis=0)) ** 2, axis=0))
    tail = (1 + CONFIDENCE) / 2
    half = np.maximum(stdtrit(freedom, tail) * deviation, ndtri(tail) * floor)
    return values - half, values + half


def expand(weights: Array, strata: Index, size: Array) -> Array:
    """Weights [resamples, raters] under which every stratum counts alike: as the mean stratum, by `size` [raters]."""
    of = strata == np.arange(strata.max() + 1)[:, None] if len(strata) else np.zeros((0, 0), dtype=bool)
    total = weights @ (of * size).T.astype(np.float64)
    mean = size.sum() / max(len(of), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where(total > 0, mean / total, 0.0)
    return np.asarray(weights * (factor @ of))


def logit(share: Array) -> Array:
    return np.asarray(np.log(share) - np.log1p(-share))


def expit(odds: Array) -> Array:
    from scipy.special import expit as logistic

    return np.asarray(logistic(odds))
