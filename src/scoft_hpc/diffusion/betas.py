"""The noise schedule of a base model's `scheduler_config.json`: cumulative products of alpha = 1 - beta."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scoft_hpc.inputs.checkpoints.scheduler_config import SchedulerConfig

MAX_BETA = 0.999
"""Of the cosine schedule, whose last beta would be 1."""


def alphas_cumprod(config: SchedulerConfig) -> Tensor:
    """abar [T], fp64, from betas in fp32: the same numbers as diffusers' `DDPMScheduler.alphas_cumprod`.

    Source: Ho et al. 2020 (linear); Rombach et al. 2022 (scaled_linear); Nichol & Dhariwal 2021, eq. 17
    (squaredcos_cap_v2); Lin et al. 2023, algorithm 1 (rescale_betas_zero_snr).
    """
    betas = _betas(config)
    if config.rescale_betas_zero_snr:
        betas = _zero_terminal_snr(betas)
    return (1 - betas).cumprod(0).double()


def _betas(config: SchedulerConfig) -> Tensor:
    steps, start, end = config.num_train_timesteps, config.beta_start, config.beta_end
    if config.trained_betas is not None:
        return torch.tensor(config.trained_betas, dtype=torch.float32)
    match config.beta_schedule:
        case "linear":
            return torch.linspace(start, end, steps, dtype=torch.float32)
        case "scaled_linear":
            return torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float32) ** 2
        case "squaredcos_cap_v2":
            edges = [math.cos((i / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(steps + 1)]
            betas = [min(1 - edges[i + 1] / edges[i], MAX_BETA) for i in range(steps)]
            return torch.tensor(betas, dtype=torch.float32)
    raise ValueError(f"beta_schedule {config.beta_schedule!r} is not known")


def _zero_terminal_snr(betas: Tensor) -> Tensor:
    """Shift and scale sqrt(abar) so that its first value stays and its last one is 0."""
    root = (1 - betas).cumprod(0).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    abar = ((root - last) * (first / (first - last))) ** 2
    return 1 - torch.cat([abar[:1], abar[1:] / abar[:-1]])
