"""Drawing images under guidance, for samples and for negatives."""

from __future__ import annotations

import torch
from torch import Tensor

from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DiffusionModel, predict_guided


@torch.no_grad()
def sample(
    base: DiffusionModel,
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

    Source: Meng et al. 2022 (SDEdit) for `start`.
    """
    solver = base.sampler(steps)
    times, z = solver.times, noise
    if start is not None:
        times = times[min(steps - 1, round(steps * (1 - strength))) :]
        z = solver.add_noise(start, noise, times[0])
    for t in times:
        guided = predict_guided(base, z, t.expand(len(z)), conditioning, null, guidance, lane)
        z = solver.step(guided, t, z)
    return base.decode(z).clamp(-1, 1)
