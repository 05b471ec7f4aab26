"""Noisy Bradley–Terry: scores of systems from pairs, with raters who sometimes answer without looking.

Rater w looks with probability γ_w and else tosses a coin of their own, which shows the left with probability q_w:

    P(left wins) = γ_w σ(s_left − s_right) + (1 − γ_w) q_w

(Bugakova, Fedorova, Gusev and Drutsa, Aggregation of pairwise comparisons with reduction of biases, 2019). Fitted on
log odds of γ and q by L-BFGS, with a small penalty on worths that leave 0 so that all is finite. Pairs that tie are no
comparison. Which of a pair stands left is not what the rater saw, for images change their places: it is a system's
turn to be left on every other page, so that q says nothing of systems.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from scoft_hpc.human_eval.analysis.rankings import Array, Index, Rankings

PENALTY = 1e-2


@dataclass(frozen=True)
class Pairs:
    """Comparisons: `left` and `right` are systems, `wins` is 1 where the left is better, else −1; all [n]."""

    rater: Index
    left: Index
    right: Index
    wins: Array


@dataclass(frozen=True)
class NoisyBradleyTerry:
    """`scores` s [systems], centred at 0; `looks` γ and `left` q [raters]."""

    scores: Array
    looks: Array
    left: Array


def pairs(found: Rankings) -> Pairs:
    """All pairs of each ranking that do not tie."""
    columns = []
    for k, (i, j) in enumerate(combinations(range(len(found.systems)), 2)):
        turned = (found.page + k) % 2 == 1
        sign = np.nan_to_num(np.sign(found.ranks[:, j] - found.ranks[:, i])) * np.where(turned, -1, 1)
        told = sign != 0
        left, right = np.where(turned, j, i), np.where(turned, i, j)
        columns.append((found.rater[told], left[told], right[told], sign[told]))
    rater, left, right, wins = (np.concatenate(side) for side in zip(*columns, strict=True))
    return Pairs(rater, left, right, wins)


def fit(found: Pairs, systems: int, raters: int) -> NoisyBradleyTerry:
    """The most likely scores, and how much each rater looks; 0 and ½ where there is no pair."""
    from scipy.optimize import minimize
    from scipy.special import expit

    start = np.concatenate([np.zeros(systems + raters), np.full(raters, 1.0)])
    solved = minimize(objective, start, args=(found, systems, raters), jac=True, method="L-BFGS-B")
    scores, coin, looks = np.split(solved.x, [systems, systems + raters])
    return NoisyBradleyTerry(scores - scores.mean(), expit(looks), expit(coin))


def objective(x: Array, found: Pairs, systems: int, raters: int) -> tuple[float, Array]:
    """Minus the penalised log likelihood of `x`: scores, log odds of q and of γ; and its slope."""
    from scipy.special import expit

    scores, coin, looks = np.split(x, [systems, systems + raters])
    by_look = expit(found.wins * (scores[found.left] - scores[found.right]))
    by_coin = expit(found.wins * coin[found.rater])
    look = expit(looks[found.rater])
    chance = look * by_look + (1 - look) * by_coin
    value = -np.log(chance).sum() + PENALTY * (x**2).sum()
    of_score = look * by_look * (1 - by_look) * found.wins / chance
    slope = np.concatenate(
        [
            np.bincount(found.left, of_score, systems) - np.bincount(found.right, of_score, systems),
            np.bincount(found.rater, (1 - look) * by_coin * (1 - by_coin) * found.wins / chance, raters),
            np.bincount(found.rater, look * (1 - look) * (by_look - by_coin) / chance, raters),
        ]
    )
    return float(value), 2 * PENALTY * x - slope
