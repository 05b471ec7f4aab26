"""Shares of a rater's comparisons: how often a system wins against another, how often a metric takes the rater's side.

A share's interval is that of its log odds, with ½ added to both sides so that they are finite, over resampled raters
(`scoft_hpc.human_eval.analysis.bootstrap`); its model's variance is 1 / (wins + ½) + 1 / (losses + ½).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scoft_hpc.human_eval.analysis.bootstrap import Resamples, equal_strata_weights, expit, logit, t_interval
from scoft_hpc.human_eval.analysis.rankings import Array, Index, Rankings


@dataclass(frozen=True)
class Tally:
    """Of each rater: `won` of `total` comparisons, a tie is half a win; [raters, ...]."""

    won: Array
    total: Array


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval, [...]: 0 to 1 where nothing can be told; NaN where nothing is compared."""

    value: Array
    low: Array
    high: Array


def count_wins(found: Rankings, reference: str) -> Tally:
    """Of each system against `reference`, [raters, systems]; ½ of nothing in the reference's own column."""
    other = found.ranks[:, [found.systems.index(reference)]]
    won = (found.ranks < other) + 0.5 * (found.ranks == other)
    told = np.isfinite(found.ranks) & np.isfinite(other)
    told[:, found.systems.index(reference)] = False
    shape = (len(found.raters), len(found.systems))
    tally = Tally(np.zeros(shape), np.zeros(shape))
    np.add.at(tally.won, found.rater, won * told)
    np.add.at(tally.total, found.rater, told.astype(np.float64))
    return tally


def estimate_rate(tally: Tally, strata: Index, resamples: Resamples) -> Rate:
    """The share won [...], over raters; strata count alike."""
    size = tally.total.reshape(len(strata), -1).sum(axis=1)
    once, again = (
        equal_strata_weights(w, strata, size) for w in (np.ones((1, len(strata))), resamples.weights)
    )
    ((value,), (odds,)), (_, drawn) = (_shares(weights, tally) for weights in (once, again))
    won, of = (np.tensordot(once[0], counts, 1) for counts in (tally.won, tally.total))
    floor = np.sqrt(1 / (won + 0.5) + 1 / (of - won + 0.5))
    low, high = t_interval(odds, drawn, floor, resamples.dof)
    return Rate(value, np.fmin(expit(low), value), np.fmax(expit(high), value))


def _shares(weights: Array, tally: Tally) -> tuple[Array, Array]:
    """The plain share, NaN of nothing, and the log odds with ½ added, [resamples, ...]."""
    won, of = (np.tensordot(weights, counts, 1) for counts in (tally.won, tally.total))
    with np.errstate(invalid="ignore", divide="ignore"):
        return won / of, logit((won + 0.5) / (of + 1))
