"""How far raters agree: with each other (Krippendorff's α) and with themselves (Kendall's τ_b on repeated pages).

α of ranks is 1 where all raters agree and about 0 where ranks are random. A unit is an image of a page under one
question, a coder is a rater, a value the mean rank, ordinal. The interval generalises to other raters. It is a
jackknife of one rater at a time within cultures, with Student's t: a bootstrap of raters would compare copies of a
rater, who agree, and so raise α; a bootstrap of units would generalise to other pages judged by the same people.

    var α = Σ_culture (n − 1) / n · Σ_i (α_(i) − mean α_(·))²        (Shao and Tu, The Jackknife and Bootstrap, 1995)

τ of a reversed page, where rank 1 is the worst, is that of the inverted ranks; a rater who overlooks that the question
is reversed is near −1. Where both rankings tie everything τ is 1; where only one of them does it is 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import krippendorff
import numpy as np
from scipy.special import stdtrit

from scoft_hpc.human_eval.analysis.rankings import Array, Rankings, mean_ranks
from scoft_hpc.human_eval.judgements import Judgement, Kind
from scoft_hpc.results.statistics import CONFIDENCE
from scoft_hpc.results.survey_results import IntervalEstimate


def agreement(rankings: Rankings) -> IntervalEstimate | None:
    """α, without an interval for fewer than three raters and where all agree.

    None where α is not defined: no image was ranked by two raters, or all have the same rank.
    """
    counts = _rank_counts(rankings)
    total = counts.sum(axis=0)
    alpha = _alpha(total)
    if alpha is None:
        return None
    leave_one_out = [_alpha(total - rater) for rater in counts]
    strata = rankings.strata
    variance, dof = 0.0, 0
    for stratum in np.unique(strata):
        alphas = [a for a, s in zip(leave_one_out, strata, strict=True) if s == stratum and a is not None]
        if len(alphas) > 1:
            # Without either of two raters the culture's pairs are gone, so both values are the same.
            center = np.mean(alphas) if len(alphas) > 2 else alpha
            variance += (len(alphas) - 1) / len(alphas) * float(np.sum((np.array(alphas) - center) ** 2))
            dof += len(alphas) - 1
    if dof < 2 or variance < 1e-18:
        return IntervalEstimate(alpha)
    half = float(stdtrit(dof, (1 + CONFIDENCE) / 2)) * variance**0.5
    return IntervalEstimate(alpha, alpha - half, min(alpha + half, 1.0))


def _rank_counts(rankings: Rankings) -> Array:
    """How often each rater gave each mean rank 1, 1.5, 2 … to each image, [raters, pages × systems, ranks]."""
    systems = len(rankings.systems)
    counts = np.zeros((len(rankings.raters), len(rankings.pages), systems, 2 * systems - 1))
    row, system = np.nonzero(np.isfinite(rankings.ranks))
    level = np.rint(2 * rankings.ranks[row, system] - 2).astype(np.intp)
    counts[rankings.rater[row], rankings.page[row], system, level] = 1.0
    return counts.reshape(len(rankings.raters), -1, 2 * systems - 1)


def _alpha(counts: Array) -> float | None:
    pairable = counts[counts.sum(axis=1) > 1]
    if not len(pairable) or (pairable.sum(axis=0) > 0).sum() < 2:
        return None
    return float(krippendorff.alpha(value_counts=pairable.astype(np.intp), level_of_measurement="ordinal"))


def consistency(judgements: Iterable[Judgement], systems: Sequence[str]) -> Mapping[int, float]:
    """Rater -> the mean τ over their repeated and reversed pages; without raters who have none ranked twice."""
    ranked = [(j, ranks) for j in judgements if (ranks := mean_ranks(j, systems)) is not None]
    first = {(j.rater, j.page, j.question): ranks for j, ranks in ranked if j.kind is Kind.regular}
    taus: dict[int, list[float]] = {}
    for j, ranks in ranked:
        before = first.get((j.rater, j.page, j.question))
        if j.kind is not Kind.regular and before is not None:
            taus.setdefault(j.rater, []).append(tau(before, ranks))
    return {rater: float(np.mean(values)) for rater, values in taus.items()}


def tau(x: Array, y: Array) -> float:
    """Kendall's τ_b of the items that are ranked in both [n]."""
    both = np.isfinite(x) & np.isfinite(y)
    upper = np.triu_indices(both.sum(), 1)
    sign_x, sign_y = (np.sign(ranks[both][:, None] - ranks[both])[upper] for ranks in (x, y))
    scale = np.sqrt((sign_x**2).sum() * (sign_y**2).sum())
    return float((sign_x * sign_y).sum() / scale) if scale else float((sign_x == sign_y).all())
