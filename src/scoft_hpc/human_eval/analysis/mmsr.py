"""Matrix Mean-Subsequence-Reduction: how good each rater is, told from how they agree, and what good raters say.

Of M labels, rater i gives a task's true one with probability p_i, and any other alike (one coin). Two raters then agree
so often that, with s_i = (M p_i − 1) / (M − 1), the *skill*, (M · agreement − 1) / (M − 1) = s_i s_j in expectation: a
matrix of rank one, known where two raters share tasks. M-MSR completes |C| = u vᵀ by turns: v_j is the mean of
C_ij / u_i over the raters i met, less the F of these that lie furthest above the present v_j and the F furthest below,
so that as many raters as answer in bad faith do not count (Ma and Olshevsky, Adversarial crowdsourcing through robust
rank-one matrix completion, NeurIPS 2020). Labels are then voted with weights log((M − 1) p / (1 − p)).

A ranking is labels: of each pair of a page's pictures, which is the better (M = 2); pairs that tie have none. F is half
the least number of raters that anybody met, less one. Skills are kept 1 / √tasks off their ends.

**A task is a pair on its page**: `task_labels`. The authors' task key leaves out the prompt, so that a rater's labels
of one pair of systems overwrite each other and the last row of the file stays; a skill is then estimated from as many
tasks as there are pairs, whichever rows come last.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.human_eval.analysis.rankings import Array, Rankings
from scoft_hpc.results.statistics import CONFIDENCE

N_LABELS = 2
RESAMPLES = 100
MAX_STEPS, TOLERANCE = 500, 1e-10
"""Of completing the matrix, which takes tens; where trimming goes round in a circle it ends somewhere on it."""


@dataclass(frozen=True)
class MmsrFit:
    """`skill` s and `accuracy` p of each rater and the `weight` of their votes, [raters]; `vote` of each task: 1 the
    first of the pair, −1 the second, 0 undecided, [tasks]."""

    skill: Array
    accuracy: Array
    weight: Array
    vote: NDArray[np.int8]


def task_labels(found: Rankings) -> NDArray[np.int8]:
    """Labels [raters, pages × pairs]: 1 where the first of the pair is better, −1 the second, 0 none given."""
    pairs = list(combinations(range(len(found.systems)), 2))
    labels = np.zeros((len(found.raters), len(found.pages), len(pairs)), dtype=np.int8)
    labels[found.rater, found.page] = _labels(found.ranks, pairs)
    return labels.reshape(len(found.raters), -1)


def fit(labels: NDArray[np.int8]) -> MmsrFit:
    """Skills and votes from labels [raters, tasks], 1 and −1, 0 where a rater gave none."""
    tasks = _n_tasks(labels)
    skill = estimate_skills(labels)
    room = 1 / np.sqrt(tasks)
    skill = np.clip(skill, -1 / (N_LABELS - 1) + room, 1 - room) if tasks > 1 else np.zeros_like(skill)
    accuracy = (skill * (N_LABELS - 1) + 1) / N_LABELS
    weight = np.log((N_LABELS - 1) * accuracy / (1 - accuracy))
    votes = weight @ labels
    return MmsrFit(
        skill, accuracy, weight, np.sign(np.where(np.abs(votes) < 1e-12, 0, votes)).astype(np.int8)
    )


def estimate_skills(labels: NDArray[np.int8]) -> Array:
    """Skills [raters] as the completed matrix has them, which can be beyond 1."""
    given = labels.astype(np.float64)
    shared = np.abs(given) @ np.abs(given).T
    np.fill_diagonal(shared, 0)
    met = shared > 0
    covariance = np.where(met, given @ given.T / np.maximum(shared, 1), 0.0)  # agree less disagree: M is 2
    return complete_covariance(covariance, met, _n_tasks(labels))


def complete_covariance(covariance: Array, met: NDArray[np.bool_], tasks: int) -> Array:
    """Skills [raters] whose products are the covariance [raters, raters] where raters `met`, nobody themselves."""
    return _rank_one(np.abs(covariance), met, tasks) * _signs(covariance)


def accuracy_interval(
    found: Rankings, rng: np.random.Generator, count: int = RESAMPLES
) -> tuple[Array, Array]:
    """95 % interval of each rater's accuracy [raters], keyed by page, over pages drawn again with all that was said of
    them: other pages like these, judged by these raters. Student's t of the resamples' deviation; 0 to 1 where pages
    do not differ."""
    from scipy.special import stdtrit

    labels = task_labels(found)
    pages = len(found.pages)
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


def majority_shares(found: Rankings, vote: NDArray[np.int8]) -> Mapping[str, float]:
    """Of the pairs that a system is in and that are decided, the share it wins; without one that is in none."""
    pairs = list(combinations(range(len(found.systems)), 2))
    votes = vote.reshape(-1, len(pairs))
    won, of = np.zeros(len(found.systems)), np.zeros(len(found.systems))
    for (i, j), column in zip(pairs, votes.T, strict=True):
        won[i] += (column > 0).sum()
        won[j] += (column < 0).sum()
        of[[i, j]] += (column != 0).sum()
    return {system: float(won[k] / of[k]) for k, system in enumerate(found.systems) if of[k]}


def _n_tasks(labels: NDArray[np.int8]) -> int:
    """How many have a label."""
    return max(int((labels != 0).any(axis=0).sum()), 1)


def _labels(ranks: Array, pairs: list[tuple[int, int]]) -> NDArray[np.int8]:
    first, second = (ranks[:, [pair[side] for pair in pairs]] for side in (0, 1))
    return np.nan_to_num(np.sign(second - first)).astype(np.int8)


def _rank_one(size: Array, met: NDArray[np.bool_], tasks: int) -> Array:
    """|s| with |C| ≈ |s| |s|ᵀ where raters met; a rater who met nobody keeps the start."""
    trim = max(int(met.sum(axis=0).min(initial=len(size))) // 2 - 1, 0)
    u = np.full(len(size), 0.5)
    v = u.copy()
    before = np.outer(u, v)
    for _ in range(MAX_STEPS):
        v = _reduced(size / np.maximum(u, 1e-12)[:, None], met, v, trim, tasks)
        u = _reduced(size / np.maximum(v, 1e-12)[:, None], met, u, trim, tasks)
        now = np.outer(u, v)
        if np.linalg.norm(now - before) < TOLERANCE:
            break
        before = now
    return np.asarray(u * np.sqrt(np.linalg.norm(v) / np.linalg.norm(u))) if u.any() and v.any() else u


def _reduced(ratios: Array, met: NDArray[np.bool_], own: Array, trim: int, tasks: int) -> Array:
    """The mean of each column's ratios where met, less at most `trim` beyond `own` on either side."""
    rows = np.sort(np.where(met, ratios, np.inf), axis=0)
    count = met.sum(axis=0)
    place = np.arange(len(ratios))[:, None]
    seen = place < count
    below = np.minimum((seen & (rows < own)).sum(axis=0), trim)
    above = np.minimum((seen & (rows > own)).sum(axis=0), trim)
    left = (place >= below) & (place < count - above)
    kept = left.sum(axis=0)
    mean = np.where(left, rows, 0.0).sum(axis=0) / np.maximum(kept, 1)
    mean = np.where((kept == 1) & (mean == 0), 1 / np.sqrt(tasks), mean)  # else nothing could leave 0 again
    return np.where(kept > 0, mean, own)


def _signs(covariance: Array) -> Array:
    """Signs whose products are those of the covariance, as far as there are such; most are positive.

    The leading eigenvector of the matrix of signs maximises Σ sign(C_ij) s_i s_j over vectors of one length; where it
    says nothing of a rater the sign is positive.
    """
    if not covariance.any():
        return np.ones(len(covariance))
    leading = np.linalg.eigh(np.sign(covariance))[1][:, -1]
    leading = np.where(np.abs(leading) < 1e-9, 0, leading)
    signs = np.sign(leading)
    return np.where(signs == 0, 1.0, signs if signs.sum() >= 0 else -signs)
