"""The terms on decoded rollouts, of all lanes together.

A new term is its equation in `losses/`, its weight in `config.schema.Objective`, its variants in `config.terms`, and
a row of IMAGE_TERMS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from scoft_hpc.config.schema import ContrastiveForm
from scoft_hpc.config.terms import Term
from scoft_hpc.data.training_batch import PerceptualTargets
from scoft_hpc.losses.contrastive import l_c_official, l_c_triplet, similarities
from scoft_hpc.losses.perceptual import Distance, l_p
from scoft_hpc.training.objective import LaneObjective, NamedDistance


@dataclass(frozen=True)
class LaneSlice:
    """A lane, where its images are in a batch of them, and what they are compared to."""

    lane: LaneObjective
    rows: slice
    targets: PerceptualTargets


@dataclass(frozen=True)
class ImageTerm:
    """A term on decoded images: the distance that it takes of a lane, and its values [M] of lanes that share it.

    The arguments of `values`: the distance, the lanes' images [M, 3, H, W], the lanes, and the images' seeds [M].
    """

    distance: Callable[[LaneObjective], NamedDistance | None]
    values: Callable[[Distance, Tensor, Sequence[LaneSlice], Tensor], Tensor]


def image_terms(
    by_index: Mapping[int, LaneObjective],
    targets: Sequence[tuple[int, slice, PerceptualTargets]],
    x_hat: Tensor,
) -> list[tuple[Term, Tensor, Tensor]]:
    """The terms on images x_hat as (term, rows, values); lanes that share a distance go through it in one call."""
    groups: dict[tuple[Term, NamedDistance, int], list[LaneSlice]] = {}
    for index, where, lane_targets in targets:
        part = LaneSlice(by_index[index], where, lane_targets)
        for term, image_term in IMAGE_TERMS.items():
            distance = image_term.distance(part.lane)
            if part.lane.has(term) and distance is not None:
                groups.setdefault((term, distance, _negatives(term, part)), []).append(part)
    terms_of_rows = []
    for (term, named, _), parts in groups.items():
        rows = torch.cat([torch.arange(part.rows.start, part.rows.stop) for part in parts])
        seeds = torch.cat([part.targets.seeds for part in parts])
        terms_of_rows.append(
            (term, rows, IMAGE_TERMS[term].values(named.distance, x_hat[rows], parts, seeds))
        )
    return terms_of_rows


def _negatives(term: Term, part: LaneSlice) -> int:
    """How many negatives an image of the lane is compared to: lanes with other numbers go through the network apart."""
    return part.targets.negative.shape[1] if term is Term.c and part.targets.negative is not None else 0


def _l_p(distance: Distance, x_hat: Tensor, parts: Sequence[LaneSlice], seeds: Tensor) -> Tensor:
    return l_p(distance, x_hat, torch.cat([part.targets.positive for part in parts]), seeds)


def _vgg(distance: Distance, x_hat: Tensor, parts: Sequence[LaneSlice], seeds: Tensor) -> Tensor:
    return l_p(distance, x_hat, _joined(part.targets.vgg for part in parts), seeds)


def _l_c(distance: Distance, x_hat: Tensor, parts: Sequence[LaneSlice], seeds: Tensor) -> Tensor:
    """L_C of the lanes' images, each in its lane's form."""
    positive = torch.cat([part.targets.positive for part in parts])
    negative = _joined(part.targets.negative for part in parts)
    negative_mask = _joined(part.targets.negative_mask for part in parts)
    s_positive, s_negative = similarities(distance, x_hat, positive, negative, seeds)
    terms, at = [], 0
    for part in parts:
        rows, w = slice(at, at := at + part.rows.stop - part.rows.start), part.lane.objective
        s = s_positive[rows], s_negative[rows], negative_mask[rows]
        if w.form is ContrastiveForm.triplet:
            terms.append(l_c_triplet(*s, lam=w.triplet_lambda, margin=w.triplet_margin))
        else:
            terms.append(l_c_official(*s))
    return torch.cat(terms)


def _joined(parts: Iterable[Tensor | None]) -> Tensor:
    """Targets that every lane with the term has, one lane after another."""
    return torch.cat([part for part in parts if part is not None])


IMAGE_TERMS: dict[Term, ImageTerm] = {
    Term.p: ImageTerm(lambda lane: lane.s, _l_p),
    Term.c: ImageTerm(lambda lane: lane.s, _l_c),
    Term.vgg: ImageTerm(lambda lane: lane.vgg, _vgg),
}
"""The terms on decoded images."""
