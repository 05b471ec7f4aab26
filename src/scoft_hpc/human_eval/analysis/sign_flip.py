"""Sign-flip test over raters of whether people prefer a system to the reference.

Under the null hypothesis exchanging the two systems' names in all answers of one rater changes nothing. So the signs of
the raters' net wins (wins minus losses, cultures having equal weight) are flipped, rater by rater, and p is the share
of flips whose sum is at least as far from zero, two-sided, the observed one among them (Fisher 1935; Phipson and Smyth,
Stat. Appl. Genet. Mol. Biol. 9, 2010). The test assumes no distribution of answers and counts raters, not pages; it
enumerates all 2^n flips where these are no more than would be drawn. At least six raters are needed for p ≤ .05.

The primary comparison of the survey file is a single test without correction; Holm's correction is over the family of
all others (questions × systems).
"""

from __future__ import annotations

from itertools import product

import numpy as np

from scoft_hpc.human_eval.analysis.bootstrap import equal_strata_weights
from scoft_hpc.human_eval.analysis.rankings import Array, Index
from scoft_hpc.human_eval.analysis.win_rates import Tally

N_FLIPS = 1 << 14
"""With twelve comparisons in a family, the smallest p after Holm is .0007."""


def sign_flip(tally: Tally, strata: Index, rng: np.random.Generator, n_flips: int = N_FLIPS) -> Array:
    """p of each of a tally's comparisons [...]; NaN without comparisons or where all are ties."""
    n = len(strata)
    weights = equal_strata_weights(np.ones((1, n)), strata, tally.total.reshape(n, -1).sum(axis=1))
    net_wins = weights.T * (2 * tally.won - tally.total).reshape(n, -1)
    exact = 2 ** min(n, 60) <= n_flips
    signs = (
        np.array(list(product((1.0, -1.0), repeat=n)))
        if exact
        else rng.choice((1.0, -1.0), size=(n_flips, n))
    )
    magnitude = np.abs(net_wins).sum(axis=0)
    observed = np.abs(net_wins.sum(axis=0))
    as_extreme = (np.abs(signs @ net_wins) >= observed - 1e-9 * magnitude).sum(axis=0)
    p = as_extreme / len(signs) if exact else (as_extreme + 1) / (len(signs) + 1)
    return np.where(magnitude > 0, p, np.nan).reshape(tally.total.shape[1:])
