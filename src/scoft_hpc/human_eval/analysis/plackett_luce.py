"""Plackett–Luce worths: how much better raters find a system's images.

A ranking is a sequence of choices: the best of all, the best of the rest, and so on, system i out of a set A with
probability exp θ_i / Σ_{j∈A} exp θ_j (Plackett, Appl. Statist. 24, 1975; Luce 1959). θ is the *worth*, centred at 0;
exp θ_i / Σ exp θ_j over all systems is the probability that i is ranked *first*.

**Ties.** A ranking with ties counts as the mean of the log likelihoods of the orders that it leaves open, as a tie
counts half a win and half a loss. (This is not the likelihood of the tie, which is the log of their sum and needs a
model of when people tie.) For a group of ties, the sets still to choose from are the later systems and a subset of the
group, every subset of one size equally often: so this mean is, without approximation,

    ℓ(θ) = Σ_i w_i θ_i − Σ_A n_A log Σ_{j∈A} exp θ_j

with w_i how often i was chosen and n_A how often from A: linear in counts that add up over rankings, so raters can be
resampled by weighting theirs.

**A system that always wins** would have no finite worth. Every two systems get one additional comparison, a tie: for
two systems, θ_1 − θ_2 is the log odds with ½ added to wins and losses (Haldane, Ann. Hum. Genet. 20, 1956), which is
Jeffreys' prior.

The fit is Newton's method with the damping that never overshoots such a likelihood (Sun and Tran-Dinh, Math. Program.
178, 2019): log(1 + d) / d for a step with range d.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import expit

from scoft_hpc.human_eval.analysis.bootstrap import Resamples, equal_strata_weights, logit, t_interval
from scoft_hpc.human_eval.analysis.rankings import Array, Rankings

PRIOR_TIES = 1.0
"""Additional ties per pair of systems."""
MIN_DOF = 2
"""With one degree of freedom, a quarter of surveys of four equal systems would be certain of the best [ours]."""
MAX_STEPS, TOLERANCE = 200, 1e-9


@dataclass(frozen=True)
class ChoiceCounts:
    """How often each rater chose each system, `chosen` [raters, systems], and from each set, `sets`
    [raters, 2 ** systems]; the bits of a set's index are its systems."""

    chosen: Array
    sets: Array


@dataclass(frozen=True)
class WorthEstimates:
    """All [systems]; intervals are infinite (0 to 1 of `first`) without degrees of freedom.

    Attributes:
        worth: θ; meaningless (near 0) for a system that no page shows.
        first: the probability of being ranked first.
        best: the share of resamples in which no system has a higher worth; NaN below `MIN_DOF`, where so few
            resamples differ that they agree by chance.
    """

    worth: Array
    worth_low: Array
    worth_high: Array
    first: Array
    first_low: Array
    first_high: Array
    best: Array


def estimate_worths(rankings: Rankings, resamples: Resamples) -> WorthEstimates:
    """Worths with intervals over raters; cultures have equal weight."""
    counts = count_choices(rankings)
    size = counts.chosen.sum(axis=1)
    observed = equal_strata_weights(np.ones((1, len(size))), rankings.strata, size)
    resampled = equal_strata_weights(resamples.weights, rankings.strata, size)
    (theta,) = fit(observed @ counts.chosen, observed @ counts.sets)
    replicates = fit(resampled @ counts.chosen, resampled @ counts.sets)
    covariance = _covariance(theta, observed[0] @ counts.sets)
    low, high = t_interval(theta, replicates, np.sqrt(np.diag(covariance)), resamples.dof)
    jacobian = _first_jacobian(theta)
    first_sd = np.sqrt(np.einsum("ij,jk,ik->i", jacobian, covariance, jacobian))
    first_low, first_high = t_interval(
        logit(_first(theta)), logit(_first(replicates)), first_sd, resamples.dof
    )
    top = np.isclose(replicates, replicates.max(axis=1, keepdims=True), rtol=0, atol=1e-7)
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


def count_choices(rankings: Rankings) -> ChoiceCounts:
    """Each rater's contribution to the likelihood."""
    systems = len(rankings.systems)
    patterns, pattern_of = np.unique(np.nan_to_num(rankings.ranks), axis=0, return_inverse=True)
    frequency = np.zeros((len(rankings.raters), len(patterns)))
    np.add.at(frequency, (rankings.rater, pattern_of.reshape(-1)), 1.0)
    chosen, sets = np.zeros((len(patterns), systems)), np.zeros((len(patterns), 2**systems))
    for i, pattern in enumerate(patterns):
        chosen[i, pattern > 0] = 1
        for members, weight in _choice_sets(pattern):
            sets[i, members] += weight
    return ChoiceCounts(frequency @ chosen, frequency @ sets)


def fit(chosen: Array, sets: Array) -> Array:
    """The maximum-likelihood worths [n, systems], each centred at 0.

    Args:
        chosen: counts of n surveys or resamples, [n, systems].
        sets: [n, 2 ** systems].
    """
    chosen, sets = _add_prior(chosen, sets)
    theta = np.zeros_like(chosen)
    for _ in range(MAX_STEPS):
        gradient, hessian = _derivatives(theta, chosen, sets)
        # The likelihood is flat along a shift of all worths: adding ones selects the centred step.
        step = np.linalg.solve(hessian + 1.0, gradient[..., None])[..., 0]
        extent = np.ptp(step, axis=-1, keepdims=True)
        theta += step * np.where(extent > 1e-12, np.log1p(extent) / np.maximum(extent, 1e-12), 1.0)
        theta -= theta.mean(axis=-1, keepdims=True)
        if extent.max(initial=0.0) < TOLERANCE:
            break
    return theta


def _choice_sets(pattern: Array) -> Iterator[tuple[int, float]]:
    """The sets that were chosen from, as bits, and their weights, for mean ranks [systems], 0 where not shown."""
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


def _add_prior(chosen: Array, sets: Array) -> tuple[Array, Array]:
    systems = chosen.shape[-1]
    sets = sets.copy()
    for i, j in combinations(range(systems), 2):
        sets[..., (1 << i) | (1 << j)] += PRIOR_TIES
        sets[..., 1 << i] += PRIOR_TIES / 2
        sets[..., 1 << j] += PRIOR_TIES / 2
    return chosen + PRIOR_TIES * (systems - 1), sets


def _derivatives(theta: Array, chosen: Array, sets: Array) -> tuple[Array, Array]:
    """The log likelihood's gradient [..., systems] and negative Hessian [..., systems, systems]."""
    members = _members(theta.shape[-1])
    weight = np.exp(theta - theta.max(axis=-1, keepdims=True))
    share = members * weight[..., None, :]
    share /= np.maximum(share.sum(axis=-1, keepdims=True), 1e-300)
    weighted = sets[..., None] * share
    expected = weighted.sum(axis=-2)
    hessian = expected[..., None] * np.eye(theta.shape[-1]) - np.swapaxes(weighted, -1, -2) @ share
    return chosen - expected, hessian


def _covariance(theta: Array, sets: Array) -> Array:
    """Covariance of worths [systems, systems] if all choices were independent."""
    _, hessian = _derivatives(theta, *_add_prior(np.zeros_like(theta), sets))
    # The pseudo-inverse: the ones fill the null space, a shift of all worths.
    return np.asarray(np.linalg.inv(hessian + 1.0) - 1 / len(theta) ** 2, dtype=np.float64)


def _first(theta: Array) -> Array:
    weight = np.exp(theta - theta.max(axis=-1, keepdims=True))
    return np.asarray(weight / weight.sum(axis=-1, keepdims=True))


def _first_jacobian(theta: Array) -> Array:
    """Derivatives of the log odds of being first by the worths, [systems, systems]."""
    weight = np.exp(theta - theta.max())
    others = weight * (1 - np.eye(len(theta)))
    return np.asarray(np.eye(len(theta)) - others / others.sum(axis=1, keepdims=True))
