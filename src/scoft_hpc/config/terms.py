"""The terms of the objective, and which variant has which; `config.schema.Objective` has their weights."""

from __future__ import annotations

from enum import Enum


class Variant(Enum):
    """The rows of the ablation that the study ranks; TERMS says which terms each has."""

    base = "base"
    ldm = "ldm"
    m = "m"
    mp = "mp"
    mpc = "mpc"


class Term(Enum):
    """The terms of the objective; a variant's loss has `vgg` only where its weight is not 0."""

    ldm = "ldm"
    m = "m"
    p = "p"
    c = "c"
    vgg = "vgg"


TERMS: dict[Variant, frozenset[Term]] = {
    Variant.base: frozenset(),
    Variant.ldm: frozenset({Term.ldm}),
    Variant.m: frozenset({Term.ldm, Term.m}),
    Variant.mp: frozenset({Term.ldm, Term.m, Term.p, Term.vgg}),
    Variant.mpc: frozenset({Term.ldm, Term.m, Term.c, Term.vgg}),
}
"""L_C contains L_P's S(x_hat, x+), so the full method `mpc` has c in p's place (SCoFT train.py, `--onlypositive`)."""

TRAINING = frozenset(Term)
"""What every trained run has one of."""
ROLLOUT = frozenset({Term.p, Term.c})
"""The terms that compare a decoded rollout x_hat."""
CONTRAST = frozenset({Term.c})
"""The term that needs negatives."""
MEMORIZATION = frozenset({Term.m})
"""The term that needs generic captions."""


def needs_rollout(variant: Variant) -> bool:
    """Whether the variant's loss has a term of the decoded rollout x_hat."""
    return bool(TERMS[variant] & ROLLOUT)
