"""One training step of a pack: every lane's loss from one batch, and its gradient from one backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from scoft_hpc.config.schema import Form, Objective, Variant
from scoft_hpc.data.batch import Batch
from scoft_hpc.diffusion.rollout import attach, rollout
from scoft_hpc.losses.contrastive import l_c_official, l_c_triplet, similarities
from scoft_hpc.losses.denoising import l_ldm
from scoft_hpc.losses.memorization import l_m
from scoft_hpc.losses.perceptual import l_p
from scoft_hpc.losses.total import TERMS, Term
from scoft_hpc.models.base import Base


@dataclass(frozen=True)
class LaneTerms:
    """What one lane trains on.

    Attributes:
        index: the lane's number in the stacked LoRA.
        distance: S; None for a variant without rollouts. vgg: the VGG distance, None where its weight is 0.
    """

    index: int
    variant: Variant
    objective: Objective
    distance: nn.Module | None = None
    vgg: nn.Module | None = None

    def has(self, term: Term) -> bool:
        return term in TERMS[self.variant]


@dataclass(frozen=True)
class Terms:
    """One lane's loss of an update, and its parts unweighted: means over the rows that have them, scalars.

    A part is None where the variant lacks it or no row of this update has it.
    """

    loss: Tensor
    ldm: Tensor
    m: Tensor | None = None
    p: Tensor | None = None
    c: Tensor | None = None
    vgg: Tensor | None = None


def losses(base: Base, lanes: Sequence[LaneTerms], batch: Batch) -> list[Terms]:
    """Every lane's loss; their sum's gradient is each lane's own, since lanes share no parameter.

    A lane's loss is the mean over its micro-steps of
        w_ldm L_LDM + w_m L_M + [active] (w_c (L_C or L_P) + w_vgg VGG),
    a micro-step being one row: the authors' accumulation, taken as one batch.
    """
    with torch.no_grad():
        z_t = base.schedule.add_noise(batch.z_0, batch.eps, batch.t)
    pred = base.predict(z_t, batch.t, batch.text, batch.lane)
    ldm = l_ldm(pred, base.schedule.target(batch.z_0, batch.eps, batch.t))
    generic = _generic(base, lanes, batch, z_t)
    x_hat = _imagine(base, lanes, batch, z_t, pred) if len(batch.active) else None
    results = []
    for lane in lanes:
        rows = (batch.lane == lane.index).nonzero()[:, 0]
        w, parts = lane.objective, {"ldm": ldm[rows].mean()}
        loss = w.w_ldm * parts["ldm"]
        if lane.has(Term.m):
            parts["m"] = l_m(pred[rows], generic[rows]).mean()
            loss = loss + w.w_m * parts["m"]
        looks = (batch.lane[batch.active] == lane.index).nonzero()[:, 0]
        if x_hat is not None and len(looks):
            share = len(looks) / len(rows)
            for name, weight, value in _perceptual(lane, batch, x_hat, looks):
                parts[name] = value
                loss = loss + weight * share * value
        results.append(Terms(loss, **parts))
    return results


def _perceptual(
    lane: LaneTerms, batch: Batch, x_hat: Tensor, looks: Tensor
) -> list[tuple[str, float, Tensor]]:
    """The lane's terms on decoded rollouts as (name, weight, mean over its active rows)."""
    if lane.distance is None:
        return []
    w, x, positive = lane.objective, x_hat[looks], batch.positive[looks]
    terms: list[tuple[str, float, Tensor]] = []
    if lane.has(Term.p):
        terms.append(("p", w.w_c, l_p(lane.distance, x, positive).mean()))
    if lane.has(Term.c):
        s_positive, s_negative = similarities(lane.distance, x, positive, batch.negative[looks])
        present = batch.present[looks]
        if w.form is Form.triplet:
            l_c = l_c_triplet(s_positive, s_negative, present, lam=w.triplet_lambda, margin=w.triplet_margin)
        else:
            l_c = l_c_official(s_positive, s_negative, present)
        terms.append(("c", w.w_c, l_c.mean()))
    if lane.vgg is not None:
        terms.append(("vgg", w.w_vgg, l_p(lane.vgg, x, positive).mean()))
    return terms


@torch.no_grad()
def _generic(base: Base, lanes: Sequence[LaneTerms], batch: Batch, z_t: Tensor) -> Tensor:
    """Predictions under the generic captions, for the rows of lanes with L_M; other rows stay 0 and are not read."""
    indices = torch.tensor([lane.index for lane in lanes if lane.has(Term.m)], device=batch.lane.device)
    rows = torch.isin(batch.lane, indices).nonzero()[:, 0]
    generic = torch.zeros_like(z_t)
    if len(rows):
        generic[rows] = base.predict(z_t[rows], batch.t[rows], batch.generic[rows], batch.lane[rows])
    return generic


def _imagine(base: Base, lanes: Sequence[LaneTerms], batch: Batch, z_t: Tensor, pred: Tensor) -> Tensor:
    """x_hat [M, 3, H, W] of the active rows, with the gradient of the one kept U-Net call."""
    active = batch.active
    text, null, lane = batch.text[active], batch.null[active], batch.lane[active]
    z, t = z_t[active], batch.t[active]
    objective = lanes[0].objective  # steps and guidance are the same in all lanes of a pack
    with torch.no_grad():
        first = (pred.detach()[active], base.predict(z, t, null, lane))
    rolled = rollout(
        _guided(base, text, null, lane),
        base.schedule,
        z,
        t,
        first,
        batch.kept,
        batch.noise,
        steps=objective.rollout_steps,
        guidance=objective.guidance,
    )
    kept = pred[active]
    later = (batch.kept > 0).nonzero()[:, 0]
    if len(later):
        again = base.predict(rolled.z_kept[later], rolled.t_kept[later], text[later], lane[later])
        kept = kept.index_copy(0, later, again)
    return base.decode(attach(rolled, kept))


def _guided(
    base: Base, text: Tensor, null: Tensor, lane: Tensor
) -> Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]:
    def predict(z: Tensor, t: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([text[rows], null[rows]])
        out = base.predict(z.repeat(2, 1, 1, 1), t.repeat(2), both, lane[rows].repeat(2))
        under_caption, under_null = out.chunk(2)
        return under_caption, under_null

    return predict
