"""One update's losses and gradients: the terms of every lane's rows.

    total = w_ldm L_LDM + w_m L_M + [active] (w_c (L_C or L_P) + w_vgg VGG)

Each row is one of the authors' micro-steps, and a lane's loss is the mean over its rows of an update: their
accumulation, taken as one batch. The rollout's graph is cut at z_0: the decoder and the distances run backward first,
a few rows at a time, and hand their gradient to the one kept call of the denoiser, so the two never hold their
activations at full batch together.

A new term on images is its equation in `losses/`, its weight and variants in `config.terms`, and a row of IMAGE_TERMS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scoft_hpc.config.schema import Form, Objective, Variant
from scoft_hpc.config.terms import TERMS, Term, weight_of
from scoft_hpc.data.batch import Batch, PerceptualTargets, TargetNames
from scoft_hpc.diffusion.rollout import Rollout, attach, rollout
from scoft_hpc.losses.contrastive import l_c_official, l_c_triplet, similarities
from scoft_hpc.losses.denoising import l_ldm
from scoft_hpc.losses.memorization import l_m
from scoft_hpc.losses.perceptual import Distance, l_p
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.guidance import Guidance, predict_guided
from scoft_hpc.models.lora import LoraStack

TermValues = dict[Term, Tensor]
"""Every term's values of some rows [N], in the order of `Term`."""


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
        return {term: weight_of(term, self.objective) for term in Term}


def backward(
    base: DiffusionModel,
    lanes: Sequence[LaneObjective],
    batch: Batch,
    row_weight: Mapping[int, float],
    decode: int | None = None,
) -> TermValues:
    """Add the rows' gradients to the lanes'; return the rows' terms, unweighted, NaN where a row lacks one.

    Args:
        row_weight: what a row of each lane counts: 1 / (rows of its update), times the lane's loss scale.
        decode: how many rollouts are decoded at a time; None: all.
    """
    by_index = {lane.index: lane for lane in lanes}
    weight = _term_weights(by_index, batch, row_weight)
    with torch.no_grad():
        z_t = base.process.add_noise(batch.z_0, batch.eps, batch.t)
    pred = base.predict(z_t, batch.t, batch.text, batch.lane)
    generic, guiding = _auxiliary_predictions(base, by_index, batch, z_t)
    values = {term: torch.full_like(weight[term], float("nan")) for term in Term}
    ldm = l_ldm(pred, base.process.target(batch.z_0, batch.eps, batch.t))
    values[Term.ldm][:] = ldm.detach()
    loss = (weight[Term.ldm] * ldm).sum()
    if generic is not None:
        rows = _rows_of(Term.m, by_index, batch)
        m = l_m(pred[rows], generic)
        values[Term.m][rows] = m.detach()
        loss = loss + (weight[Term.m][rows] * m).sum()
    if len(batch.active) == 0:
        with LoraStack.collecting():
            loss.backward()
        return values
    rolled, kept = _rollout_active_rows(base, by_index, batch, z_t, pred, guiding)
    gradient = _image_space_gradient(base, by_index, batch, rolled.z_0, weight, values, decode)
    with LoraStack.collecting():
        torch.autograd.backward((loss, attach(rolled, kept)), (None, gradient))
    return values


def concatenate_values(parts: Sequence[TermValues]) -> TermValues:
    """The rows' terms of all parts, one part after another, on the host."""
    table = torch.cat([torch.stack(list(part.values()), 1) for part in parts]).cpu()
    return dict(zip(Term, table.unbind(1), strict=True))


def _term_weights(
    by_index: Mapping[int, LaneObjective], batch: Batch, row_weight: Mapping[int, float]
) -> TermValues:
    """What each row's terms count in the loss of the update."""
    of_lane = {i: [row_weight[i] * w for w in lane.weights.values()] for i, lane in by_index.items()}
    table = torch.tensor([of_lane[i] for i in batch.lane.tolist()]).to(batch.z_0.device)
    return dict(zip(Term, table.unbind(1), strict=True))


def _rows_of(term: Term, by_index: Mapping[int, LaneObjective], batch: Batch) -> Tensor | slice:
    """The rows of lanes with this term."""
    having = [by_index[i].has(term) for i in batch.lane.tolist()]
    return slice(None) if all(having) else torch.tensor(having).nonzero()[:, 0]


def _rollout_settings(by_index: Mapping[int, LaneObjective], batch: Batch) -> Objective:
    """Steps and guidance of the rollouts: the same in all lanes of a pack."""
    return by_index[int(batch.lane[0])].objective


@torch.no_grad()
def _auxiliary_predictions(
    base: DiffusionModel, by_index: Mapping[int, LaneObjective], batch: Batch, z_t: Tensor
) -> tuple[Tensor | None, Tensor]:
    """Predictions at z_t that are not under the caption, in one call: under the generic captions for the rows with
    L_M (None without any), and what guidance needs for the active rows, such as those under the null text.
    """
    every = torch.arange(len(batch))
    of_m = every[_rows_of(Term.m, by_index, batch)]
    rows = torch.cat([of_m, batch.active])
    if len(rows) == 0:
        return None, z_t[:0]
    scale = _rollout_settings(by_index, batch).guidance
    guiding = base.guidance.second(batch.text[batch.active], batch.null, scale)
    text = Conditioning.cat([batch.generic[of_m], guiding])
    out = base.predict(z_t[rows], batch.t[rows], text, batch.lane[rows])
    return (out[: len(of_m)] if len(of_m) else None), out[len(of_m) :]


def _rollout_active_rows(
    base: DiffusionModel,
    by_index: Mapping[int, LaneObjective],
    batch: Batch,
    z_t: Tensor,
    pred: Tensor,
    guiding: Tensor,
) -> tuple[Rollout, Tensor]:
    """The active rows' rollouts, and the output of the kept call of each with its graph [M, C, h, w]."""
    active, settings = batch.active, _rollout_settings(by_index, batch)
    text, lane, scale = batch.text[active], batch.lane[active], settings.guidance

    def predict(z: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        return predict_guided(base, z, t, text[rows], batch.null, scale, lane[rows])

    rolled = rollout(
        predict,
        base.process,
        z_t[active],
        batch.t[active],
        base.guidance.combine(pred.detach()[active], guiding, scale),
        batch.grad_call,
        batch.noise,
        steps=settings.rollout_steps,
        gain=base.guidance.gain(scale),
    )
    kept = pred[active]
    # The training prediction is call 0, unless guided calls are conditioned otherwise.
    again = (batch.grad_call > 0) | (base.guidance is Guidance.embedded)
    if len(rows := again.nonzero()[:, 0]):
        guided = base.guidance.conditioning(text[rows], scale)
        out = base.predict(rolled.z_kept[rows], rolled.t_kept[rows], guided, lane[rows])
        kept = kept.index_copy(0, rows.to(kept.device), out)
    return rolled, kept


def _image_space_gradient(
    base: DiffusionModel,
    by_index: Mapping[int, LaneObjective],
    batch: Batch,
    z_0: Tensor,
    weight: TermValues,
    values: TermValues,
    decode: int | None,
) -> Tensor:
    """The gradient at z_0 [M, C, h, w] of the weighted terms on decoded images, whose values go to `values`."""
    gradient = torch.empty_like(z_0)
    for first in range(0, len(z_0), decode or len(z_0)):
        end = min(len(z_0), first + (decode or len(z_0)))
        z = z_0[first:end].detach().requires_grad_()
        x_hat = base.decode(z)
        loss = x_hat.new_zeros(())
        for term, rows, value in _image_terms(by_index, list(batch.targets_of(first, end)), x_hat):
            of_batch = batch.active[first:end][rows]
            loss = loss + (weight[term][of_batch] * value).sum()
            values[term][of_batch] = value.detach()
        (gradient[first:end],) = torch.autograd.grad(loss, z)
    return gradient


@dataclass(frozen=True)
class _LaneSlice:
    """A lane, where its images are in a batch of them, and what they are compared to."""

    lane: LaneObjective
    rows: slice
    targets: PerceptualTargets


@dataclass(frozen=True)
class _ImageTerm:
    """A term on decoded images: the distance that it takes of a lane, and its values [M] of lanes that share it.

    The arguments of `values`: the distance, the lanes' images [M, 3, H, W], the lanes, and the images' seeds [M].
    """

    distance: Callable[[LaneObjective], NamedDistance | None]
    values: Callable[[Distance, Tensor, Sequence[_LaneSlice], Tensor], Tensor]


def _image_terms(
    by_index: Mapping[int, LaneObjective],
    targets: Sequence[tuple[int, slice, PerceptualTargets]],
    x_hat: Tensor,
) -> list[tuple[Term, Tensor, Tensor]]:
    """The terms on images x_hat as (term, rows, values); lanes that share a distance go through it in one call."""
    groups: dict[tuple[Term, NamedDistance, int], list[_LaneSlice]] = {}
    for index, where, lane_targets in targets:
        part = _LaneSlice(by_index[index], where, lane_targets)
        for term, image_term in IMAGE_TERMS.items():
            distance = image_term.distance(part.lane)
            if part.lane.has(term) and distance is not None:
                groups.setdefault((term, distance, _negatives(term, part)), []).append(part)
    found = []
    for (term, named, _), parts in groups.items():
        rows = torch.cat([torch.arange(part.rows.start, part.rows.stop) for part in parts])
        seeds = torch.cat([part.targets.seeds for part in parts])
        found.append((term, rows, IMAGE_TERMS[term].values(named.distance, x_hat[rows], parts, seeds)))
    return found


def _negatives(term: Term, part: _LaneSlice) -> int:
    """How many negatives an image of the lane is compared to: lanes with other numbers go through the network apart."""
    return part.targets.negative.shape[1] if term is Term.c and part.targets.negative is not None else 0


def _l_p(distance: Distance, x_hat: Tensor, parts: Sequence[_LaneSlice], seeds: Tensor) -> Tensor:
    return l_p(distance, x_hat, torch.cat([part.targets.positive for part in parts]), seeds)


def _vgg(distance: Distance, x_hat: Tensor, parts: Sequence[_LaneSlice], seeds: Tensor) -> Tensor:
    return l_p(distance, x_hat, _joined(part.targets.vgg for part in parts), seeds)


def _l_c(distance: Distance, x_hat: Tensor, parts: Sequence[_LaneSlice], seeds: Tensor) -> Tensor:
    """L_C of the lanes' images, each in its lane's form."""
    positive = torch.cat([part.targets.positive for part in parts])
    negative = _joined(part.targets.negative for part in parts)
    present = _joined(part.targets.present for part in parts)
    s_positive, s_negative = similarities(distance, x_hat, positive, negative, seeds)
    terms, at = [], 0
    for part in parts:
        rows, w = slice(at, at := at + part.rows.stop - part.rows.start), part.lane.objective
        s = s_positive[rows], s_negative[rows], present[rows]
        if w.form is Form.triplet:
            terms.append(l_c_triplet(*s, lam=w.triplet_lambda, margin=w.triplet_margin))
        else:
            terms.append(l_c_official(*s))
    return torch.cat(terms)


def _joined(parts: Iterable[Tensor | None]) -> Tensor:
    """Targets that every lane with the term has, one lane after another."""
    return torch.cat([part for part in parts if part is not None])


IMAGE_TERMS: dict[Term, _ImageTerm] = {
    Term.p: _ImageTerm(lambda lane: lane.s, _l_p),
    Term.c: _ImageTerm(lambda lane: lane.s, _l_c),
    Term.vgg: _ImageTerm(lambda lane: lane.vgg, _vgg),
}
"""The terms on decoded images."""
