"""One pass of a pack: the four terms of every lane's rows, and their gradients.

    total = w_ldm L_LDM + w_m L_M + [active] (w_c (L_C or L_P) + w_vgg VGG)

Each row is one of the authors' micro-steps, and a lane's loss is the mean over its rows of an update: their
accumulation, taken as one batch. The rollout's graph is cut at z_0: the decoder and the distances run backward first,
a few rows at a time, and hand their gradient to the one kept U-Net call, so the two never hold their activations at
full batch together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scoft_hpc.config.schema import Form, Objective, Variant
from scoft_hpc.config.terms import TERMS, Term
from scoft_hpc.data.batch import Batch, Look, Wanted
from scoft_hpc.diffusion.rollout import Rollout, attach, rollout
from scoft_hpc.losses.contrastive import l_c_official, l_c_triplet, similarities
from scoft_hpc.losses.denoising import l_ldm
from scoft_hpc.losses.memorization import l_m
from scoft_hpc.losses.perceptual import Distance, l_p
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.guidance import Guidance, predict_guided
from scoft_hpc.models.lora import LoraStack

PARTS = ("ldm", "m", "p", "c", "vgg")
"""The columns of a table of rows by terms."""
P, C, VGG = 0, 1, 2
"""Among the terms on pictures, the last three."""


class Network(NamedTuple):
    """A distance and the name that its targets are kept under."""

    name: str
    distance: Distance


@dataclass(frozen=True)
class LaneTerms:
    """What one lane trains on.

    Attributes:
        index: the lane's number in the stacked LoRA.
        s: the distance S; None for a variant without rollouts. vgg: the VGG distance, None where its weight is 0.
    """

    index: int
    variant: Variant
    objective: Objective
    s: Network | None = None
    vgg: Network | None = None

    def has(self, term: Term) -> bool:
        return term in TERMS[self.variant]

    @property
    def wanted(self) -> Wanted:
        """What its rollouts are compared to."""
        return Wanted(self.s and self.s.name, self.vgg and self.vgg.name, self.has(Term.c))

    @property
    def weights(self) -> tuple[float, ...]:
        """Of PARTS."""
        w = self.objective
        return w.w_ldm, w.w_m, w.w_c, w.w_c, w.w_vgg


def backward(
    base: DiffusionModel,
    lanes: Sequence[LaneTerms],
    batch: Batch,
    share: Mapping[int, float],
    decode: int | None = None,
) -> Tensor:
    """Add the rows' gradients to the lanes'; return the rows' terms, unweighted, [N, len(PARTS)], NaN where absent.

    Args:
        share: what a row of each lane counts: 1 / (rows of its update), times the lane's loss scale.
        decode: how many rollouts are decoded at a time; None: all.
    """
    own = {lane.index: lane for lane in lanes}
    shares = {i: [share[i] * w for w in lane.weights] for i, lane in own.items()}
    weight = torch.tensor([shares[i] for i in batch.lane.tolist()]).to(batch.z_0.device)
    with torch.no_grad():
        z_t = base.process.add_noise(batch.z_0, batch.eps, batch.t)
    pred = base.predict(z_t, batch.t, batch.text, batch.lane)
    generic, second = _unpaired(base, own, batch, z_t)
    values = weight.new_full((len(batch), len(PARTS)), float("nan"))
    ldm = l_ldm(pred, base.process.target(batch.z_0, batch.eps, batch.t))
    values[:, 0] = ldm.detach()
    loss = (weight[:, 0] * ldm).sum()
    if generic is not None:
        rows = _rows_of(Term.m, own, batch)
        m = l_m(pred[rows], generic)
        values[rows, 1] = m.detach()
        loss = loss + (weight[rows, 1] * m).sum()
    if len(batch.active) == 0:
        with LoraStack.collecting():
            loss.backward()
        return values
    rolled, kept = _imagine(base, own, batch, z_t, pred, second)
    gradient, looked = _look(base, own, batch, rolled.z_0, weight[batch.active, 2:], decode)
    values[batch.active, 2:] = looked
    with LoraStack.collecting():
        torch.autograd.backward((loss, attach(rolled, kept)), (None, gradient))
    return values


def _rows_of(term: Term, own: Mapping[int, LaneTerms], batch: Batch) -> Tensor | slice:
    """The rows of lanes with this term."""
    having = [own[i].has(term) for i in batch.lane.tolist()]
    return slice(None) if all(having) else torch.tensor(having).nonzero()[:, 0]


@torch.no_grad()
def _unpaired(
    base: DiffusionModel, own: Mapping[int, LaneTerms], batch: Batch, z_t: Tensor
) -> tuple[Tensor | None, Tensor]:
    """Predictions at z_t that are not under the caption, in one call: under the generic captions for the rows with
    L_M (None without any), and what guidance needs for the active rows, such as the null text.
    """
    every = torch.arange(len(batch))
    of_m = every[_rows_of(Term.m, own, batch)]
    rows = torch.cat([of_m, batch.active])
    if len(rows) == 0:
        return None, z_t[:0]
    scale = _rollout_settings(own, batch).guidance
    guiding = base.guidance.second(batch.text[batch.active], batch.null, scale)
    text = Conditioning.cat([batch.generic[of_m], guiding])
    out = base.predict(z_t[rows], batch.t[rows], text, batch.lane[rows])
    return (out[: len(of_m)] if len(of_m) else None), out[len(of_m) :]


def _rollout_settings(own: Mapping[int, LaneTerms], batch: Batch) -> Objective:
    """Steps and guidance of the rollouts: the same in all lanes of a pack."""
    return own[int(batch.lane[0])].objective


def _imagine(
    base: DiffusionModel,
    own: Mapping[int, LaneTerms],
    batch: Batch,
    z_t: Tensor,
    pred: Tensor,
    second: Tensor,
) -> tuple[Rollout, Tensor]:
    """The active rows' rollouts, and the output of the kept call of each with its graph [M, C, h, w]."""
    active, settings = batch.active, _rollout_settings(own, batch)
    text, lane, scale = batch.text[active], batch.lane[active], settings.guidance

    def predict(z: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        return predict_guided(base, z, t, text[rows], batch.null, scale, lane[rows])

    rolled = rollout(
        predict,
        base.process,
        z_t[active],
        batch.t[active],
        base.guidance.combine(pred.detach()[active], second, scale),
        batch.kept,
        batch.noise,
        steps=settings.rollout_steps,
        gain=base.guidance.gain(scale),
    )
    kept = pred[active]
    # The training prediction is call 0, unless guided calls are conditioned otherwise.
    again = (batch.kept > 0) | (base.guidance is Guidance.embedded)
    if len(rows := again.nonzero()[:, 0]):
        guided = base.guidance.conditioning(text[rows], scale)
        out = base.predict(rolled.z_kept[rows], rolled.t_kept[rows], guided, lane[rows])
        kept = kept.index_copy(0, rows.to(kept.device), out)
    return rolled, kept


def _look(
    base: DiffusionModel,
    own: Mapping[int, LaneTerms],
    batch: Batch,
    z_0: Tensor,
    weight: Tensor,
    decode: int | None,
) -> tuple[Tensor, Tensor]:
    """The gradient at z_0 [M, C, h, w] of the weighted terms on decoded pictures, and the terms [M, 3]: p, c, vgg."""
    gradient, values = torch.empty_like(z_0), weight.new_full(weight.shape, float("nan"))
    for first in range(0, len(z_0), decode or len(z_0)):
        end = min(len(z_0), first + (decode or len(z_0)))
        z = z_0[first:end].detach().requires_grad_()
        x_hat = base.decode(z)
        loss = x_hat.new_zeros(())
        for column, rows, value in _on_pictures(own, list(batch.looking(first, end)), x_hat):
            loss = loss + (weight[first:end][rows, column] * value).sum()
            values[first:end][rows, column] = value.detach()
        (gradient[first:end],) = torch.autograd.grad(loss, z)
    return gradient, values


@dataclass(frozen=True)
class _Shown:
    """A lane, where its pictures stand in a batch of them, and what they are compared to."""

    lane: LaneTerms
    where: slice
    look: Look


def _on_pictures(
    own: Mapping[int, LaneTerms], looks: Sequence[tuple[int, slice, Look]], x_hat: Tensor
) -> list[tuple[int, Tensor, Tensor]]:
    """The terms on pictures x_hat as (column of p, c, vgg; rows; values), lanes that share a network in one call."""
    groups: dict[tuple[Network | None, int, int], list[_Shown]] = {}
    for index, where, look in looks:
        lane, shown = own[index], _Shown(own[index], where, look)
        if look.negative is None:
            groups.setdefault((lane.s, P, 0), []).append(shown)
        else:
            groups.setdefault((lane.s, C, look.negative.shape[1]), []).append(shown)
        if look.vgg is not None:
            groups.setdefault((lane.vgg, VGG, 0), []).append(shown)
    found = []
    for (network, column, _), shown_ones in groups.items():
        if network is None:
            raise ValueError("a lane without rollouts has no pictures to compare")
        rows = torch.cat([torch.arange(one.where.start, one.where.stop) for one in shown_ones])
        looks_of = [one.look for one in shown_ones]
        seeds = torch.cat([look.seeds for look in looks_of])
        if column == C:
            value = _l_c(network.distance, x_hat[rows], shown_ones, seeds)
        else:
            target = torch.cat([getattr(look, "vgg" if column == VGG else "positive") for look in looks_of])
            value = l_p(network.distance, x_hat[rows], target, seeds)
        found.append((column, rows, value))
    return found


def _l_c(distance: Distance, x_hat: Tensor, shown: Sequence[_Shown], seeds: Tensor) -> Tensor:
    """L_C of the lanes' pictures, each in its lane's form."""
    positive, negative, present = (
        torch.cat([getattr(one.look, name) for one in shown]) for name in ("positive", "negative", "present")
    )
    s_positive, s_negative = similarities(distance, x_hat, positive, negative, seeds)
    terms, at = [], 0
    for one in shown:
        rows, w = slice(at, at := at + one.where.stop - one.where.start), one.lane.objective
        s = s_positive[rows], s_negative[rows], present[rows]
        if w.form is Form.triplet:
            terms.append(l_c_triplet(*s, lam=w.triplet_lambda, margin=w.triplet_margin))
        else:
            terms.append(l_c_official(*s))
    return torch.cat(terms)
