"""Drawing images under guidance, for samples and for negatives."""

from __future__ import annotations

from typing import cast

import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

from scoft_hpc.models.base import Base
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.guidance import predict_guided


@torch.no_grad()
def sample(
    base: Base,
    conditioning: Conditioning,
    null: Conditioning,
    noise: Tensor,
    *,
    steps: int,
    guidance: float,
    lane: Tensor | None = None,
    start: Tensor | None = None,
    strength: float = 1.0,
) -> Tensor:
    """Images [N, 3, H, W] in [-1, 1].

    Args:
        conditioning: of the texts [N]; null: of the empty text [1].
        noise: starting noise [N, C, h, w].
        steps: solver steps from pure noise; guidance: its scale.
        lane: the adapter of each row [N]; None for the base model alone.
        start: scaled latents [N, C, h, w] to start from (img2img): noised as far as `strength` (0 .. 1] of the way.

    Source: Lu et al. 2022 (DPM-Solver++); Meng et al. 2022 (SDEdit) for `start`.
    """
    solver = DPMSolverMultistepScheduler.from_config(base.scheduler.config)
    solver.set_timesteps(steps, device=base.device)
    timesteps = (
        solver.timesteps[min(steps - 1, round(steps * (1 - strength))) :]
        if start is not None
        else solver.timesteps
    )
    z = noise * solver.init_noise_sigma
    if start is not None:
        z = solver.add_noise(start, noise, timesteps[:1].expand(len(noise)))
    for t in timesteps:
        guided = predict_guided(base, z, t.expand(len(z)), conditioning, null, guidance, lane)
        z = cast(Tensor, solver.step(guided, t, z, return_dict=False)[0])
    return base.decode(z).clamp(-1, 1)
