"""Which terms a variant has, and their weighted sum."""

from __future__ import annotations

from enum import Enum

from scoft_hpc.config.schema import Variant


class Term(Enum):
    """The terms of the objective; `vgg` accompanies `p` and `c` where its weight is not 0."""

    ldm = "ldm"
    m = "m"
    p = "p"
    c = "c"


TERMS: dict[Variant, frozenset[Term]] = {
    Variant.base: frozenset(),
    Variant.ldm: frozenset({Term.ldm}),
    Variant.m: frozenset({Term.ldm, Term.m}),
    Variant.mp: frozenset({Term.ldm, Term.m, Term.p}),
    Variant.mpc: frozenset({Term.ldm, Term.m, Term.c}),
}
"""L_C contains L_P's S(x_hat, x+), so the full method `mpc` has c in p's place (SCoFT train.py, `--onlypositive`)."""


def imagines(variant: Variant) -> bool:
    """Whether the variant looks at a decoded rollout x_hat."""
    return bool(TERMS[variant] & {Term.p, Term.c})
