"""Matrix Mean-Subsequence-Reduction (M-MSR): estimate each rater's skill from agreement, and weight their votes.

Of M labels, rater i gives a task's true one with probability p_i, and each other one equally often ("one-coin"). Then
(M · agreement − 1) / (M − 1) of two raters is s_i s_j in expectation, with the *skill* s_i = (M p_i − 1) / (M − 1): a
matrix of rank one, known where two raters share tasks. M-MSR completes |C| = u vᵀ alternately: v_j is the mean of
C_ij / u_i over the raters i who share tasks with j, without the F of these furthest above the current v_j and the F
furthest below, so that as many adversarial raters have no influence (Ma and Olshevsky, Adversarial crowdsourcing
through robust rank-one matrix completion, NeurIPS 2020). Labels are then voted with weights log((M − 1) p / (1 − p)).

Labels of a ranking say which image of each pair of a page is better (M = 2); ties have none. F is half the smallest
number of raters with whom any rater shares tasks, minus one. Skills are clipped to 1 / √tasks within their bounds.

**A task is a pair on its page** (`task_labels`). The authors' task key omits the prompt, so a rater's labels of one
pair of systems overwrite each other and the last row of the file remains; a skill is then estimated from as many tasks
as there are pairs, whichever rows are last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from scoft_hpc.human_eval.analysis.rankings import Array, Rankings
from scoft_hpc.results.statistics import CONFIDENCE

N_LABELS = 2
RESAMPLES = 100
MAX_STEPS, TOLERANCE = 500, 1e-10
"""Completion takes tens of steps; trimming can also lead to a cycle, which ends after `MAX_STEPS`."""


@dataclass(frozen=True)
class MmsrFit:
    """`skill` s, `accuracy` p and vote `weight` of each rater, [raters]; `vote` of each task: 1 for the first of the
    pair, −1 for the second, 0 undecided, [tasks]."""

    skill: Array
    accuracy: Array
    weight: Array
    vote: NDArray[np.int8]


def task_labels(rankings: Rankings) -> NDArray[np.int8]:
    """Labels [raters, pages × pairs]: 1 where the first of the pair is better, −1 the second, 0 without a label."""
    first, second = zip(*combinations(range(len(rankings.systems)), 2), strict=True)
    labels = np.zeros((len(rankings.raters), len(rankings.pages), len(first)), dtype=np.int8)
    signs = np.sign(rankings.ranks[:, second] - rankings.ranks[:, first])
    labels[rankings.rater, rankings.page] = np.nan_to_num(signs).astype(np.int8)
    return labels.reshape(len(rankings.raters), -1)


def fit(labels: NDArray[np.int8]) -> MmsrFit:
    """Skills and votes from labels [raters, tasks]: 1, −1, or 0 without a label."""
    tasks = _n_tasks(labels)
    skill = estimate_skills(labels)
    margin = 1 / np.sqrt(tasks)
    skill = np.clip(skill, -1 / (N_LABELS - 1) + margin, 1 - margin) if tasks > 1 else np.zeros_like(skill)
    accuracy = (skill * (N_LABELS - 1) + 1) / N_LABELS
    weight = np.log((N_LABELS - 1) * accuracy / (1 - accuracy))
    votes = weight @ labels
    return MmsrFit(
        skill, accuracy, weight, np.sign(np.where(np.abs(votes) < 1e-12, 0, votes)).astype(np.int8)
    )


def estimate_skills(labels: NDArray[np.int8]) -> Array:
    """Skills [raters] of the completed matrix, unclipped: they can exceed 1."""
    signs = labels.astype(np.float64)
    shared = np.abs(signs) @ np.abs(signs).T
    np.fill_diagonal(shared, 0)
    met = shared > 0
    covariance = np.where(
        met, signs @ signs.T / np.maximum(shared, 1), 0.0
    )  # agreement minus disagreement: M is 2
    return complete_covariance(covariance, met, _n_tasks(labels))


def complete_covariance(covariance: Array, met: NDArray[np.bool_], tasks: int) -> Array:
    """Skills [raters] whose products are the covariance [raters, raters] where two raters `met` (share tasks)."""
    return _rank_one(np.abs(covariance), met, tasks) * _signs(covariance)


def accuracy_interval(
    rankings: Rankings, rng: np.random.Generator, count: int = RESAMPLES
) -> tuple[Array, Array]:
    """95 % interval of each rater's accuracy [raters] from resampled pages: it generalises to other pages like these,
    judged by these raters. Student's t of the resamples' standard deviation; 0 to 1 where pages do not differ."""
    labels = task_labels(rankings)
    pages = len(rankings.pages)
    if pages < 2:
        return np.zeros(len(labels)), np.ones(len(labels))
    by_page = labels.reshape(len(labels), pages, -1)
    drawn = [
        estimate_skills(by_page[:, rng.integers(pages, size=pages)].reshape(len(labels), -1))
        for _ in range(count)
    ]
    deviation = np.std(drawn, axis=0) * (N_LABELS - 1) / N_LABELS
    half = stdtrit(pages - 1, (1 + CONFIDENCE) / 2) * np.where(deviation > 1e-12, deviation, np.inf)
    value = fit(labels).accuracy
    return np.clip(value - half, 0, 1), np.clip(value + half, 0, 1)


def majority_shares(rankings: Rankings, vote: NDArray[np.int8]) -> Mapping[str, float]:
    """System -> the share it wins of its decided pairs; without systems that are in none."""
    pairs = np.array(list(combinations(range(len(rankings.systems)), 2)))
    votes = vote.reshape(-1, len(pairs))
    winners = np.where(votes > 0, pairs[:, 0], pairs[:, 1])[votes != 0]
    won = np.bincount(winners, minlength=len(rankings.systems))
    total = np.bincount(pairs.repeat((votes != 0).sum(axis=0), axis=0).ravel(), minlength=len(won))
    return {system: float(won[k] / total[k]) for k, system in enumerate(rankings.systems) if total[k]}


def _n_tasks(labels: NDArray[np.int8]) -> int:
    """The number of tasks with a label, at least 1."""
    return max(int((labels != 0).any(axis=0).sum()), 1)


def _rank_one(magnitude: Array, met: NDArray[np.bool_], tasks: int) -> Array:
    """|s| with |C| ≈ |s| |s|ᵀ where raters met; a rater who met nobody keeps the initial value."""
    trim = max(int(met.sum(axis=0).min(initial=len(magnitude))) // 2 - 1, 0)
    u = np.full(len(magnitude), 0.5)
    v = u.copy()
    before = np.outer(u, v)
    for _ in range(MAX_STEPS):
        v = _trimmed_mean(magnitude / np.maximum(u, 1e-12)[:, None], met, v, trim, tasks)
        u = _trimmed_mean(magnitude / np.maximum(v, 1e-12)[:, None], met, u, trim, tasks)
        product = np.outer(u, v)
        if np.linalg.norm(product - before) < TOLERANCE:
            break
        before = product
    return np.asarray(u * np.sqrt(np.linalg.norm(v) / np.linalg.norm(u))) if u.any() and v.any() else u


def _trimmed_mean(ratios: Array, met: NDArray[np.bool_], current: Array, trim: int, tasks: int) -> Array:
    """The mean of each column's ratios where met, without at most `trim` beyond `current` on either side."""
    rows = np.sort(np.where(met, ratios, np.inf), axis=0)
    count = met.sum(axis=0)
    position = np.arange(len(ratios))[:, None]
    is_ratio = position < count
    n_below = np.minimum((is_ratio & (rows < current)).sum(axis=0), trim)
    n_above = np.minimum((is_ratio & (rows > current)).sum(axis=0), trim)
    remains = (position >= n_below) & (position < count - n_above)
    n_remaining = remains.sum(axis=0)
    mean = np.where(remains, rows, 0.0).sum(axis=0) / np.maximum(n_remaining, 1)
    mean = np.where((n_remaining == 1) & (mean == 0), 1 / np.sqrt(tasks), mean)  # 0 would be a fixed point
    return np.where(n_remaining > 0, mean, current)


def _signs(covariance: Array) -> Array:
    """Signs whose products are those of the covariance as far as possible; most are positive.

    The leading eigenvector of the matrix of signs maximises Σ sign(C_ij) s_i s_j over vectors of one length; where it
    is 0 the sign is positive.
    """
    if not covariance.any():
        return np.ones(len(covariance))
    leading = np.linalg.eigh(np.sign(covariance))[1][:, -1]
    leading = np.where(np.abs(leading) < 1e-9, 0, leading)
    signs = np.sign(leading)
    return np.where(signs == 0, 1.0, signs if signs.sum() >= 0 else -signs)
