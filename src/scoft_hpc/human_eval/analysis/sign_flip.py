"""Whether people prefer a system to the reference: a sign-flip test over raters, and Holm's correction over a family.

Under the null a rater takes either side of every one of their pages alike: exchanging the two systems' names in all
that one rater said changes nothing. So the signs of the raters' net wins (wins less losses, cultures counting alike)
are flipped, rater by rater, and p is the share of flips whose sum is at least as far from zero, two-sided, the
data's own among them (Fisher 1935; Phipson and Smyth, Stat. Appl. Genet. Mol. Biol. 9, 2010). It asks nothing of the
answers' distribution and counts raters, not pages; all 2^n flips are looked at where they are no more than those drawn.
Six raters at least can reach p ≤ .05.

The primary comparison of the survey file is one question, asked beforehand: it stands apart, without a correction. All
others (questions × systems) are a family.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from scoft_hpc.human_eval.analysis.bootstrap import equal_strata_weights
from scoft_hpc.human_eval.analysis.rankings import Array, Index
from scoft_hpc.human_eval.analysis.win_rates import Tally

FLIPS = 1 << 14
"""With twelve comparisons in a family, the smallest p after Holm is .0007."""


def sign_flip(tally: Tally, strata: Index, rng: np.random.Generator, flips: int = FLIPS) -> Array:
    """p of each of a tally's comparisons [...]; NaN where nobody has compared anything or all of it is ties."""
    size = tally.total.reshape(len(strata), -1).sum(axis=1)
    net = equal_strata_weights(np.ones((1, len(strata))), strata, size).T * (
        2 * tally.won - tally.total
    ).reshape(len(strata), -1)
    exact = 2 ** min(len(strata), 60) <= flips
    signs = (
        np.array(list(product((1.0, -1.0), repeat=len(strata))))
        if exact
        else rng.choice((1.0, -1.0), size=(flips, len(strata)))
    )
    found = np.abs(net.sum(axis=0))
    reached = (np.abs(signs @ net) >= found - 1e-9 * np.abs(net).sum(axis=0)).sum(axis=0)
    p = reached / len(signs) if exact else (reached + 1) / (len(signs) + 1)
    return np.where(np.abs(net).sum(axis=0) > 0, p, np.nan).reshape(tally.total.shape[1:])
