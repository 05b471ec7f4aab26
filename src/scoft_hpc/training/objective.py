"""What a lane of a pack trains on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from scoft_hpc.config.schema import Objective, Variant
from scoft_hpc.config.terms import TERMS, Term
from scoft_hpc.data.training_batch import TargetNames
from scoft_hpc.losses.perceptual import Distance


class NamedDistance(NamedTuple):
    """A distance and the name under which its targets are cached."""

    name: str
    distance: Distance


@dataclass(frozen=True)
class LaneObjective:
    """What one lane trains on.

    Attributes:
        index: the lane's number in the stacked LoRA.
        s: the distance S; None for a variant without rollouts. vgg: the VGG distance, None where its weight is 0.
    """

    index: int
    variant: Variant
    objective: Objective
    s: NamedDistance | None = None
    vgg: NamedDistance | None = None

    def has(self, term: Term) -> bool:
        """Whether the lane's loss has the term; VGG only where its weight is not 0."""
        return term in TERMS[self.variant] and (term is not Term.vgg or self.vgg is not None)

    @property
    def target_names(self) -> TargetNames:
        """What its rollouts are compared to."""
        return TargetNames(self.s and self.s.name, self.vgg and self.vgg.name, self.has(Term.c))

    @property
    def weights(self) -> dict[Term, float]:
        """Of every term, whether the lane has it or not."""
        return {term: self.objective.weight(term) for term in Term}
