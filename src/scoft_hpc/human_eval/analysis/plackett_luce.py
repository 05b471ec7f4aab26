"""Plackett–Luce worths: how much better each system's images are in the raters' eyes.

A ranking is a sequence of choices: the best of all, the best of what is left, and so on, system i out of a set A with
probability exp θ_i / Σ_{j∈A} exp θ_j (Plackett, Appl. Statist. 24, 1975; Luce 1959). θ is the *worth*, centred at 0;
exp θ_i / Σ exp θ_j over all systems is how often i would be put *first*.

**Ties.** A ranking with ties speaks for each of the orders that it leaves open, in equal parts: it counts as the mean
of their log likelihoods, as a tie counts half a win and half a loss. (It is not the likelihood of the tie, which is the
log of their sum and needs a model of when people tie.) Of a group that ties, the sets still to choose from are the
later systems and a subset of the group, every subset of one size alike: so this mean is, without approximation,

    ℓ(θ) = Σ_i w_i θ_i − Σ_A n_A log Σ_{j∈A} exp θ_j

with w_i how often i was chosen and n_A how often from A: linear in counts that add up over rankings, and raters can be
drawn again by weighing theirs.

**A system that always wins** would have no finite worth. Every two systems are compared once more, with a tie: of two
systems, θ_1 − θ_2 is the log odds with ½ added to wins and losses (Haldane, Ann. Hum. Genet. 20, 1956), which is
Jeffreys' prior.

The fit is Newton's, with the damping that never overshoots such a likelihood (Sun and Tran-Dinh, Math. Program. 178,
2019): log(1 + d) / d of a step whose parts lie d apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from scoft_hpc.human_eval.analysis.bootstrap import Resamples, equal_strata_weights, expit, logit, t_interval
from scoft_hpc.human_eval.analysis.rankings import Array, Rankings

PRIOR_TIES = 1.0
"""How many ties each pair of systems is given."""
MIN_DOF = 2
"""Of two raters alike a quarter of the surveys would be sure of the best of four systems that are as good [ours]."""
MAX_STEPS, TOLERANCE = 200, 1e-9


@dataclass(frozen=True)
class ChoiceCounts:
    """Of each rater: `chosen` [raters, systems] and `sets` [raters, 2 ** systems], a set's bits being its systems."""

    chosen: Array
    sets: Array


@dataclass(frozen=True)
class WorthEstimates:
    """All [systems]; the ends of intervals are infinite (0 and 1 of `first`) where nothing can be told.

    Attributes:
        worth: θ. Of a system that no page shows it is nearly 0 and means nothing.
        first: the probability of being put first.
        best: the share of resamples in which no system has a higher worth; NaN below two degrees of freedom, where
            resamples are so few that they agree by chance.
    """

    worth: Array
    worth_low: Array
    worth_high: Array
    first: Array
    first_low: Array
    first_high: Array
    best: Array


def estimate_worths(found: Rankings, resamples: Resamples) -> WorthEstimates:
    """Worths with intervals over raters; cultures, where there are several, count alike."""
    counted = count_choices(found)
    size = counted.chosen.sum(axis=1)
    once = equal_strata_weights(np.ones((1, len(size))), found.strata, size)
    again = equal_strata_weights(resamples.weights, found.strata, size)
    (theta,) = fit(once @ counted.chosen, once @ counted.sets)
    drawn = fit(again @ counted.chosen, again @ counted.sets)
    floor = _covariance(theta, once[0] @ counted.sets)
    low, high = t_interval(theta, drawn, np.sqrt(np.diag(floor)), resamples.dof)
    slopes = _slopes(theta)
    first_floor = np.sqrt(np.einsum("ij,jk,ik->i", slopes, floor, slopes))
    odds = logit(_first(theta))
    first_low, first_high = t_interval(odds, logit(_first(drawn)), first_floor, resamples.dof)
    top = np.isclose(drawn, drawn.max(axis=1, keepdims=True), rtol=0, atol=1e-7)
    best = (top / top.sum(axis=1, keepdims=True)).mean(axis=0)
    return WorthEstimates(
        theta,
        low,
        high,
        _first(theta),
        expit(first_low),
        expit(first_high),
        best if resamples.dof >= MIN_DOF else np.full_like(best, np.nan),
    )


def count_choices(found: Rankings) -> ChoiceCounts:
    """What each rater's rankings add to the likelihood."""
    systems = len(found.systems)
    patterns, of = np.unique(np.nan_to_num(found.ranks), axis=0, return_inverse=True)
    often = np.zeros((len(found.raters), len(patterns)))
    np.add.at(often, (found.rater, of.reshape(-1)), 1.0)
    chosen, sets = np.zeros((len(patterns), systems)), np.zeros((len(patterns), 2**systems))
    for i, pattern in enumerate(patterns):
        chosen[i, pattern > 0] = 1
        for members, share in _choices(pattern):
            sets[i, members] += share
    return ChoiceCounts(often @ chosen, often @ sets)


def fit(chosen: Array, sets: Array) -> Array:
    """The worths [..., systems] of greatest likelihood, each centred at 0, for counts of any number of studies.

    Args:
        chosen: [studies, systems].
        sets: [studies, 2 ** systems].
    """
    chosen, sets = _with_ties(chosen, sets)
    theta = np.zeros_like(chosen)
    for _ in range(MAX_STEPS):
        slope, curvature = _derivatives(theta, chosen, sets)
        # Along a shift of all worths the likelihood is flat: the ones there choose the centred step.
        step = np.linalg.solve(curvature + 1.0, slope[..., None])[..., 0]
        far = np.ptp(step, axis=-1, keepdims=True)
        theta += step * np.where(far > 1e-12, np.log1p(far) / np.maximum(far, 1e-12), 1.0)
        theta -= theta.mean(axis=-1, keepdims=True)
        if far.max(initial=0.0) < TOLERANCE:
            break
    return theta


def _choices(pattern: Array) -> Iterator[tuple[int, float]]:
    """The sets chosen from, as bits, and how much each counts, of mean ranks [systems], 0 where not shown."""
    later = 0
    for rank in sorted(set(pattern[pattern > 0]), reverse=True):
        group = [1 << int(i) for i in np.flatnonzero(pattern == rank)]
        for size in range(1, len(group) + 1):
            subsets = list(combinations(group, size))
            for subset in subsets:
                yield later | sum(subset), 1 / len(subsets)
        later |= sum(group)


def _members(systems: int) -> Array:
    """Whether each system is in each set, [2 ** systems, systems]."""
    return ((np.arange(2**systems)[:, None] >> np.arange(systems)) & 1).astype(np.float64)


def _with_ties(chosen: Array, sets: Array) -> tuple[Array, Array]:
    systems = chosen.shape[-1]
    sets = sets.copy()
    for i, j in combinations(range(systems), 2):
        sets[..., (1 << i) | (1 << j)] += PRIOR_TIES
        sets[..., 1 << i] += PRIOR_TIES / 2
        sets[..., 1 << j] += PRIOR_TIES / 2
    return chosen + PRIOR_TIES * (systems - 1), sets


def _derivatives(theta: Array, chosen: Array, sets: Array) -> tuple[Array, Array]:
    """The likelihood's slope [..., systems] and minus its curvature [..., systems, systems]."""
    members = _members(theta.shape[-1])
    weight = np.exp(theta - theta.max(axis=-1, keepdims=True))
    share = members * weight[..., None, :]
    share /= np.maximum(share.sum(axis=-1, keepdims=True), 1e-300)
    counted = sets[..., None] * share
    expected = counted.sum(axis=-2)
    curvature = expected[..., None] * np.eye(theta.shape[-1]) - np.swapaxes(counted, -1, -2) @ share
    return chosen - expected, curvature


def _covariance(theta: Array, sets: Array) -> Array:
    """Of worths [systems], if every choice were independent."""
    none, with_ties = _with_ties(np.zeros_like(theta), sets)
    _, curvature = _derivatives(theta, none, with_ties)
    # The inverse but for a shift of all worths, which the ones stand for.
    return np.asarray(np.linalg.inv(curvature + 1.0) - 1 / len(theta) ** 2, dtype=np.float64)


def _first(theta: Array) -> Array:
    weight = np.exp(theta - theta.max(axis=-1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


def _slopes(theta: Array) -> Array:
    """Of the log odds of being first in the worths, [systems, systems]."""
    weight = np.exp(theta - theta.max())
    others = weight * (1 - np.eye(len(theta)))
    return np.asarray(np.eye(len(theta)) - others / others.sum(axis=1, keepdims=True))
