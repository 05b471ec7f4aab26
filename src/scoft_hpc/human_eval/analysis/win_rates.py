"""Shares of comparisons won: by a system against another, or by a metric that prefers what the rater prefers.

A share's interval is that of its log odds over resampled raters (`scoft_hpc.human_eval.analysis.bootstrap`), with ½
added to both sides so that they are finite; the model's variance is 1 / (wins + ½) + 1 / (losses + ½).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from scoft_hpc.human_eval.analysis.bootstrap import Resamples, equal_strata_weights, logit, t_interval
from scoft_hpc.human_eval.analysis.rankings import Array, Index, Rankings


@dataclass(frozen=True)
class Tally:
    """`won` of `total` comparisons of each rater, a tie being half a win; [raters, ...]."""

    won: Array
    total: Array


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval, [...]: 0 to 1 where it is unknown; NaN without comparisons."""

    value: Array
    low: Array
    high: Array


def count_wins(rankings: Rankings, reference: str) -> Tally:
    """Of each system against `reference`, [raters, systems]; no comparisons in the reference's own column."""
    column = rankings.systems.index(reference)
    other = rankings.ranks[:, [column]]
    won = (rankings.ranks < other) + 0.5 * (rankings.ranks == other)
    compared = np.isfinite(rankings.ranks) & np.isfinite(other)
    compared[:, column] = False
    shape = (len(rankings.raters), len(rankings.systems))
    tally = Tally(np.zeros(shape), np.zeros(shape))
    np.add.at(tally.won, rankings.rater, won * compared)
    np.add.at(tally.total, rankings.rater, compared.astype(np.float64))
    return tally


def estimate_rate(tally: Tally, strata: Index, resamples: Resamples) -> Rate:
    """The share won [...], over raters; strata have equal weight."""
    size = tally.total.reshape(len(strata), -1).sum(axis=1)
    observed = equal_strata_weights(np.ones((1, len(strata))), strata, size)
    resampled = equal_strata_weights(resamples.weights, strata, size)
    ((value,), (log_odds,)), (_, replicates) = (_shares(weights, tally) for weights in (observed, resampled))
    won, total = (np.tensordot(observed[0], counts, 1) for counts in (tally.won, tally.total))
    model_sd = np.sqrt(1 / (won + 0.5) + 1 / (total - won + 0.5))
    low, high = t_interval(log_odds, replicates, model_sd, resamples.dof)
    return Rate(value, np.fmin(expit(low), value), np.fmax(expit(high), value))


def _shares(weights: Array, tally: Tally) -> tuple[Array, Array]:
    """The share, NaN without comparisons, and the log odds with ½ added, [resamples, ...]."""
    won, total = (np.tensordot(weights, counts, 1) for counts in (tally.won, tally.total))
    with np.errstate(invalid="ignore", divide="ignore"):
        return won / total, logit((won + 0.5) / (total + 1))
