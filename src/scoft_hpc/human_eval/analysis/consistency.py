"""Whether a rater answers alike when a page comes again: Kendall's τ_b of the two rankings, from −1 to 1.

Of a reversed page, where rank 1 is the worst, the mirrored ranks count; a rater who did not read that the question was
turned round is near −1. Where both rankings tie everything they agree, 1; where one of them does, nothing agrees, 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from scoft_hpc.human_eval.analysis.rankings import Array, mean_ranks
from scoft_hpc.human_eval.judgements import Judgement, Kind


def consistency(judgements: Iterable[Judgement], systems: Sequence[str]) -> Mapping[int, float]:
    """Rater -> the mean τ over their attention pages and questions; without those who have none answered twice."""
    ranked = [(one, ranks) for one in judgements if (ranks := mean_ranks(one, systems)) is not None]
    first = {(one.rater, one.page, one.question): ranks for one, ranks in ranked if one.kind is Kind.asked}
    found: dict[int, list[float]] = {}
    for one, ranks in ranked:
        before = first.get((one.rater, one.page, one.question))
        if one.kind is not Kind.asked and before is not None:
            found.setdefault(one.rater, []).append(tau(before, ranks))
    return {rater: float(np.mean(values)) for rater, values in found.items()}


def tau(x: Array, y: Array) -> float:
    """Kendall's τ_b of what is ranked in both [n]."""
    both = np.isfinite(x) & np.isfinite(y)
    upper = np.triu_indices(both.sum(), 1)
    one, other = (np.sign(side[both][:, None] - side[both])[upper] for side in (x, y))
    spread = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / spread) if spread else float((one == other).all())
