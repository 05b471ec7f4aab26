"""What a pack trains on in one update: every lane's rows, drawn from its own streams."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from scoft_hpc.config.schema import Cadence, Gradient, RunConfig
from scoft_hpc.data import images
from scoft_hpc.data.cache import Culture
from scoft_hpc.data.streams import stream
from scoft_hpc.diffusion.rollout import last_call

TIMESTEPS = 1000
"""Of Stable Diffusion's schedule; t is drawn from 1 on, since a rollout from t = 0 has no steps."""


@dataclass(frozen=True)
class Batch:
    """N rows of one or more lanes, and the M of them (`active`) whose rollout is looked at.

    Attributes:
        lane: [N], the lane of each row. z_0, eps: [N, C, h, w]. t: [N], in 1 .. 999.
        text, generic, null: text states [N, T, D].
        active: [M], indices into the N rows, or [0] in an update without rollouts.
        kept: [M], the rollout call that keeps its graph. noise: [S, M, C, h, w].
        positive: [M, 3, H, W]; negative: [M, K, 3, H, W]; both in [-1, 1]. present: [M, K] bool.
    """

    lane: Tensor
    z_0: Tensor
    eps: Tensor
    t: Tensor
    text: Tensor
    generic: Tensor
    null: Tensor
    active: Tensor
    kept: Tensor
    noise: Tensor
    positive: Tensor
    negative: Tensor
    present: Tensor


def active_rows(step: int, batch: int, every: int, cadence: Cadence) -> list[int]:
    """Which of an update's `batch` micro-steps have the perceptual terms; `step` counts updates from 0.

    Source: SCoFT train.py, `step % 10 == 0`, with one micro-step a pair; micro-steps are counted over the whole run.
    """
    if cadence is Cadence.update:
        return list(range(batch)) if step % every == 0 else []
    return [j for j in range(batch) if (step * batch + j) % every == 0]


def draw(config: RunConfig, culture: Culture, lane: int, step: int, imagines: bool) -> Batch:
    """The rows of one lane in update `step` (from 0).

    Args:
        lane: the lane's number in the pack, written to every row.
        imagines: whether the lane's variant looks at rollouts; else no row is active.
    """
    size, key = config.train.batch, (config.seed, config.culture)
    pair = _pairs(config, len(culture), step)
    rng = stream(*key, "step", step)
    flip = torch.randint(2, (size,), generator=rng) * int(config.data.random_flip)
    t = torch.randint(1, TIMESTEPS, (size,), generator=rng)
    mean, std = culture.moments[pair, flip].unbind(1)
    z_0 = mean + std * torch.randn(mean.shape, generator=rng).to(mean)
    eps = torch.randn(mean.shape, generator=rng).to(mean)
    objective = config.objective
    active = torch.tensor(
        active_rows(step, size, objective.every, objective.cadence) if imagines else [], dtype=torch.long
    )
    look = pair[active]
    rolls = stream(*key, "rollout", step)
    noise = torch.randn(objective.rollout_steps, len(active), *mean.shape[1:], generator=rolls)
    where = mean.device
    return Batch(
        lane=torch.full((size,), lane, device=where),
        z_0=z_0,
        eps=eps,
        t=t.to(where),
        text=culture.text[pair],
        generic=culture.generic[pair],
        null=culture.null.expand(size, -1, -1),
        active=active.to(where),
        kept=_kept(objective.gradient, t[active], objective.rollout_steps, rolls).to(where),
        noise=noise.to(where),
        positive=_flipped(images.from_pixels(culture.positive[look]), flip[active]),
        negative=_flipped(images.from_pixels(culture.negative[look]), flip[active]),
        present=culture.present[look],
    )


def concatenate(batches: list[Batch]) -> Batch:
    """The lanes' rows one after another; negatives are padded to the largest K, marked not present."""
    k = max(b.negative.shape[1] for b in batches)
    parts: dict[str, list[Tensor]] = {f.name: [] for f in fields(Batch)}
    rows = 0
    for b in batches:
        for name, column in parts.items():
            column.append(getattr(b, name))
        parts["active"][-1] = b.active + rows
        for name in ("negative", "present"):
            value = getattr(b, name)
            padding = value.new_zeros(len(value), k - value.shape[1], *value.shape[2:])
            parts[name][-1] = torch.cat([value, padding], 1)
        rows += len(b.lane)
    return Batch(**{name: torch.cat(column, 1 if name == "noise" else 0) for name, column in parts.items()})


def _pairs(config: RunConfig, count: int, step: int) -> Tensor:
    """Indices of the update's pairs: each epoch goes through all of them once, in an order of its own."""
    start = step * config.train.batch
    indices = []
    for n in range(start, start + config.train.batch):
        order = torch.randperm(count, generator=stream(config.seed, config.culture, "epoch", n // count))
        indices.append(order[n % count])
    return torch.stack(indices)


def _kept(gradient: Gradient, t: Tensor, steps: int, rng: torch.Generator) -> Tensor:
    if gradient is Gradient.first:
        return torch.zeros_like(t)
    last = last_call(t, steps)
    if gradient is Gradient.last:
        return last
    return (torch.rand(len(t), generator=rng) * (last + 1)).long()


def _flipped(x: Tensor, flip: Tensor) -> Tensor:
    """Mirror the pictures [M, ..., H, W] whose flip [M] is 1: an image and its negatives together."""
    chosen = flip.bool().to(x.device).view(-1, *[1] * (x.ndim - 1))
    return torch.where(chosen, x.flip(-1), x)
