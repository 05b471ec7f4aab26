"""The rollout: from z_t down to a clean latent in a few guided DDPM steps, one U-Net call keeping its gradient.

The authors' code runs every other call without gradient. With those predictions constant, z_0 is affine in the one
kept prediction: z_0 = const + k eps_kept, since each DDPM step is z_prev = a z + b out + sigma n. So the whole rollout
runs without autograd, carrying the scalar k along, and `attach` joins the kept prediction's graph to the result.
For the first call and eps-prediction this k is -g (1 - abar_t / abar_t1) / sqrt((1 - abar_t) abar_t).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scoft_hpc.diffusion.schedule import Schedule, column

Predict = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(z [n, C, h, w], t [n], rows [n]) -> the outputs under the caption and under the null text, for these rows."""


class Rollout(NamedTuple):
    """Of N rows: the clean latent, and all that `attach` needs of the kept call.

    z_0: [N, C, h, w]; k: [N], d z_0 / d eps_kept, on the host; z_kept, t_kept: what the kept call saw.
    """

    z_0: Tensor
    k: Tensor
    z_kept: Tensor
    t_kept: Tensor


def timesteps(t: Tensor, steps: int) -> Tensor:
    """Each row's timesteps t, t - s, ..., 0 with s = t // (steps - 1); [N, steps], -1 where a row has ended.

    A row with t < steps - 1 has the two timesteps t and 0.

    Raises:
        ValueError: for t < 1: there is nothing to roll out.

    Source: SCoFT train.py, `custom_timesteps`.
    """
    if (t < 1).any():
        raise ValueError("a rollout starts at t >= 1")
    i = torch.arange(steps, device=t.device)
    ladder = t[:, None] - i * (t // (steps - 1))[:, None]
    ladder[:, -1] = 0
    short = torch.full_like(ladder, -1)
    short[:, 0], short[:, 1] = t, 0
    return torch.where((t >= steps - 1)[:, None], ladder, short)


@torch.no_grad()
def rollout(
    predict: Predict,
    schedule: Schedule,
    z_t: Tensor,
    t: Tensor,
    first: tuple[Tensor, Tensor],
    kept: Tensor,
    noise: Tensor,
    *,
    steps: int,
    guidance: float,
) -> Rollout:
    """Run the guided DDPM steps without autograd.

    Args:
        predict: the U-Net for calls 1, 2, ...
        z_t: [N, C, h, w]; t: [N], each at least 1, on the host.
        first: call 0's outputs under the caption (the training prediction) and under the null text, [N, C, h, w].
        kept: [N], the index of the call whose graph is kept, below the row's number of timesteps; on the host.
        noise: [steps, N, C, h, w], standard normal.
        steps: timesteps of a row (20).
        guidance: classifier-free guidance scale g (4.5): out = null + g (caption - null).

    Source: SCoFT train.py, the block under `recordfirstgradient`.
    """
    ladder = timesteps(t, steps)
    following = torch.cat([ladder[:, 1:], torch.full_like(t[:, None], -1)], 1)
    z, k = z_t.clone(), torch.zeros_like(t, dtype=schedule.abar.dtype)
    z_kept, t_kept = z_t.clone(), t.clone()
    for i in range(steps):
        rows = (ladder[:, i] >= 0).nonzero()[:, 0]
        if len(rows) == 0:
            break
        some = slice(None) if len(rows) == len(t) else rows  # rows that end early are rare
        z_i, t_i = z[some], ladder[rows, i]
        out, null = first if i == 0 else predict(z_i, t_i, rows)
        a, b, sigma = schedule.step(t_i, following[rows, i])
        keeps = kept[rows] == i
        if keeps.any():
            z_kept[rows[keeps]], t_kept[rows[keeps]] = z_i[keeps], t_i[keeps]
        k[rows] = torch.where(keeps, guidance * b, k[rows] * a)
        guided = null + guidance * (out - null)
        z[some] = column(a, z) * z_i + column(b, z) * guided + column(sigma, z) * noise[i, some]
    return Rollout(z, k, z_kept, t_kept)


def attach(rolled: Rollout, pred_kept: Tensor) -> Tensor:
    """z_0 [N, C, h, w] with the value of the rollout and the gradient k d pred_kept.

    Args:
        pred_kept: the kept call's output under the caption, with its graph [N, C, h, w].
    """
    return rolled.z_0 + column(rolled.k, pred_kept) * (pred_kept - pred_kept.detach())


def last_call(t: Tensor, steps: int) -> Tensor:
    """The index of each row's last call, [N]."""
    return (timesteps(t, steps) >= 0).sum(1) - 1
