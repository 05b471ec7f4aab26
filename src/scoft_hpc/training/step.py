"""One update's losses and gradients: the terms of every lane's rows.

    total = w_ldm L_LDM + w_m L_M + [active] (w_c (L_C or L_P) + w_vgg VGG)

Each row is one of the authors' micro-steps, and a lane's loss is the mean over its rows of an update: their
accumulation, taken as one batch. The rollout's graph is cut at z_0: the decoder and the distances run backward first,
a few rows at a time, and hand their gradient to the one call of the denoiser with gradient, so the two never hold their
activations at full batch together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from scoft_hpc.config.schema import Objective
from scoft_hpc.config.terms import Term
from scoft_hpc.data.training_batch import TrainingBatch
from scoft_hpc.diffusion.rollout import Rollout, attach, rollout
from scoft_hpc.losses.denoising import l_ldm
from scoft_hpc.losses.memorization import l_m
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DiffusionModel, predict_guided
from scoft_hpc.models.guidance import Guidance
from scoft_hpc.models.lora import LoraStack
from scoft_hpc.training.image_terms import image_terms
from scoft_hpc.training.objective import LaneObjective

TermValues = dict[Term, Tensor]
"""Every term's values of some rows [N], in the order of `Term`."""


def backward(
    base: DiffusionModel,
    lanes: Sequence[LaneObjective],
    batch: TrainingBatch,
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
    rolled, pred_with_graph = _rollout_active_rows(base, by_index, batch, z_t, pred, guiding)
    gradient = _image_space_gradient(base, by_index, batch, rolled.z_0, weight, values, decode)
    with LoraStack.collecting():
        torch.autograd.backward((loss, attach(rolled, pred_with_graph)), (None, gradient))
    return values


def concatenate_values(parts: Sequence[TermValues]) -> TermValues:
    """The rows' terms of all parts, one part after another, on the host."""
    table = torch.cat([torch.stack(list(part.values()), 1) for part in parts]).cpu()
    return dict(zip(Term, table.unbind(1), strict=True))


def _term_weights(
    by_index: Mapping[int, LaneObjective], batch: TrainingBatch, row_weight: Mapping[int, float]
) -> TermValues:
    """What each row's terms count in the loss of the update."""
    of_lane = {i: [row_weight[i] * w for w in lane.weights.values()] for i, lane in by_index.items()}
    table = torch.tensor([of_lane[i] for i in batch.lane.tolist()]).to(batch.z_0.device)
    return dict(zip(Term, table.unbind(1), strict=True))


def _rows_of(term: Term, by_index: Mapping[int, LaneObjective], batch: TrainingBatch) -> Tensor | slice:
    """The rows of lanes with this term."""
    having = [by_index[i].has(term) for i in batch.lane.tolist()]
    return slice(None) if all(having) else torch.tensor(having).nonzero()[:, 0]


def _rollout_settings(by_index: Mapping[int, LaneObjective], batch: TrainingBatch) -> Objective:
    """Steps and guidance of the rollouts: the same in all lanes of a pack."""
    return by_index[int(batch.lane[0])].objective


@torch.no_grad()
def _auxiliary_predictions(
    base: DiffusionModel, by_index: Mapping[int, LaneObjective], batch: TrainingBatch, z_t: Tensor
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
    batch: TrainingBatch,
    z_t: Tensor,
    pred: Tensor,
    guiding: Tensor,
) -> tuple[Rollout, Tensor]:
    """The active rows' rollouts, and the output of each one's call with gradient, with its graph [M, C, h, w]."""
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
    pred_with_graph = pred[active]
    # The training prediction is call 0, unless guided calls are conditioned otherwise.
    again = (batch.grad_call > 0) | (base.guidance is Guidance.embedded)
    if len(rows := again.nonzero()[:, 0]):
        guided = base.guidance.conditioning(text[rows], scale)
        out = base.predict(rolled.z_grad[rows], rolled.t_grad[rows], guided, lane[rows])
        pred_with_graph = pred_with_graph.index_copy(0, rows.to(pred_with_graph.device), out)
    return rolled, pred_with_graph


def _image_space_gradient(
    base: DiffusionModel,
    by_index: Mapping[int, LaneObjective],
    batch: TrainingBatch,
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
        for term, rows, value in image_terms(by_index, list(batch.targets_of(first, end)), x_hat):
            of_batch = batch.active[first:end][rows]
            loss = loss + (weight[term][of_batch] * value).sum()
            values[term][of_batch] = value.detach()
        (gradient[first:end],) = torch.autograd.grad(loss, z)
    return gradient
