"""Rectified flow: z_t = (1 - t) z_0 + t eps at real times t in (0, 1], run backward by Euler steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoft_hpc.diffusion.noise_process import Step, column


@dataclass(frozen=True)
class RectifiedFlow:
    """A straight path from data to noise, whose network predicts its velocity eps - z_0.

    Attributes:
        shift: s; t = s u / (1 + (s - 1) u) for an evenly spread u, so that s > 1 puts more times near the noise.

    Source: Liu et al. 2023; Esser et al. 2024 (Stable Diffusion 3), section 5.3.2, for the shift.
    """

    shift: float = 1.0

    def sample_times(self, n: int, rng: torch.Generator) -> Tensor:
        """t of u uniform in (0, 1]; fp64."""
        return self._shifted(1 - torch.rand(n, generator=rng, dtype=torch.float64))

    def add_noise(self, z_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """z_t [N, C, h, w] for times t [N]."""
        return column(1 - t, z_0) * z_0 + column(t, z_0) * eps

    def target(self, z_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """The velocity of the path, the same at all its times."""
        return eps - z_0

    def rollout_times(self, t: Tensor, steps: int) -> Tensor:
        """From t [N] to 0 in `steps` steps, evenly spread in u; [N, steps + 1].

        Raises:
            ValueError: for t outside (0, 1].
        """
        if not ((t > 0) & (t <= 1)).all():
            raise ValueError("a rollout starts at a time above 0 and at most 1")
        u = t / (self.shift - (self.shift - 1) * t)
        times = self._shifted(
            u[:, None] * (1 - torch.arange(steps + 1, device=t.device, dtype=t.dtype) / steps)
        )
        times[:, 0] = t
        return times

    def step(self, t: Tensor, t_next: Tensor) -> Step:
        """Euler's step from t [N] to t_next [N]: z' = z + (t_next - t) out; no noise is added."""
        b = (t_next - t).double()
        return Step(torch.ones_like(b), b, torch.zeros_like(b))

    def _shifted(self, u: Tensor) -> Tensor:
        return self.shift * u / (1 + (self.shift - 1) * u)
