"""The rollout: from z_t down to a clean latent in a few guided steps, one network call keeping its gradient.

The authors' code runs every other call without gradient. With those predictions constant, z_0 is affine in the one
prediction with gradient: z_0 = const + k out, since each step is z' = a z + b out + sigma n. So the whole rollout runs
without autograd, carrying the scalar k along, and `attach` joins that prediction's graph to the result. For the
first call of a DDPM with eps-prediction this k is -g (1 - abar_t / abar_t1) / sqrt((1 - abar_t) abar_t); for call j of
a rectified flow it is g (t_{j+1} - t_j).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from scoft_hpc.diffusion.noise_process import NoiseProcess, column

Predict = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(z [n, C, h, w], t [n], rows [n]) -> the guided output for these rows."""


class Rollout(NamedTuple):
    """Of N rows: the clean latent, and what `attach` needs of the call with gradient.

    z_0: [N, C, h, w]; z_grad, t_grad: the inputs of that call; k: [N], d z_0 / d (its output), on the host.
    """

    z_0: Tensor
    k: Tensor
    z_grad: Tensor
    t_grad: Tensor


@torch.no_grad()
def rollout(
    predict: Predict,
    process: NoiseProcess,
    z_t: Tensor,
    t: Tensor,
    first: Tensor,
    grad_call: Tensor,
    noise: Tensor,
    *,
    steps: int,
    gain: float,
) -> Rollout:
    """Run the guided steps without autograd.

    Args:
        predict: the guided output of calls 1, 2, ...
        z_t: [N, C, h, w]; t: [N], on the host, each a time that the process can start from.
        first: the guided output of call 0, [N, C, h, w].
        grad_call: [N], the index of the call with gradient, below the row's number of calls; on the host.
        noise: [steps, N, C, h, w], standard normal.
        steps: calls of a row (20).
        gain: d (guided output) / d (output under the caption); the scale g of classifier-free guidance (4.5).

    Source: SCoFT train.py, the block under `recordfirstgradient`.
    """
    times = process.rollout_times(t, steps)
    z, k = z_t.clone(), torch.zeros_like(t, dtype=torch.float64)
    z_grad, t_grad = z_t.clone(), t.clone()
    for i in range(steps):
        rows = (times[:, i] > times[:, i + 1]).nonzero()[:, 0]
        if len(rows) == 0:
            break
        selected = slice(None) if len(rows) == len(t) else rows  # rows that end early are rare
        z_i, t_i = z[selected], times[rows, i]
        guided = first if i == 0 else predict(z_i, t_i, rows)
        a, b, sigma = process.step(t_i, times[rows, i + 1])
        is_grad_call = grad_call[rows] == i
        if is_grad_call.any():
            z_grad[rows[is_grad_call]], t_grad[rows[is_grad_call]] = z_i[is_grad_call], t_i[is_grad_call]
        k[rows] = torch.where(is_grad_call, gain * b, k[rows] * a)
        z[selected] = column(a, z) * z_i + column(b, z) * guided + column(sigma, z) * noise[i, selected]
    return Rollout(z, k, z_grad, t_grad)


def attach(rolled: Rollout, pred: Tensor) -> Tensor:
    """z_0 [N, C, h, w] with the value of the rollout and the gradient k d pred.

    Args:
        pred: the output, under the caption, of the call with gradient, with its graph [N, C, h, w].
    """
    return rolled.z_0 + column(rolled.k, pred) * (pred - pred.detach())


def last_call(process: NoiseProcess, t: Tensor, steps: int) -> Tensor:
    """The index of each row's last call, [N]."""
    times = process.rollout_times(t, steps)
    return (times[:, :-1] > times[:, 1:]).sum(1) - 1
