"""DDPM: z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps at integer timesteps, and a step back as three coefficients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scoft_hpc.diffusion.noise_process import Step, column

CLEAN = -1
"""The timestep of the clean latent, one below the least noisy one."""


@dataclass(frozen=True)
class Ddpm:
    """A discrete diffusion of T timesteps.

    Attributes:
        abar: cumulative products of alpha, [T], fp64, on the host.
        velocity: whether the network predicts v = sqrt(abar) eps - sqrt(1 - abar) z_0 instead of eps.
    """

    abar: Tensor
    velocity: bool = False

    def sample_times(self, n: int, rng: torch.Generator) -> Tensor:
        """Uniform in 1 .. T - 1: a rollout from t = 0 has no steps."""
        return torch.randint(1, len(self.abar), (n,), generator=rng)

    def add_noise(self, z_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """z_t [N, C, h, w] for timesteps t [N]. Ho et al. 2020, eq. 4."""
        signal, noise = self._scales(t, z_0)
        return signal * z_0 + noise * eps

    def target(self, z_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What the network should output: eps, or the velocity (Salimans & Ho 2022, eq. 10)."""
        if not self.velocity:
            return eps
        signal, noise = self._scales(t, z_0)
        return signal * eps - noise * z_0

    def rollout_times(self, t: Tensor, steps: int) -> Tensor:
        """Each row's timesteps t, t - s, ..., 0, -1 with s = t // (steps - 1); [N, steps + 1].

        A row with t < steps - 1 has the timesteps t and 0 only.

        Raises:
            ValueError: for t < 1: there is nothing to roll out.

        Source: SCoFT train.py, `custom_timesteps`.
        """
        if (t < 1).any():
            raise ValueError("a rollout starts at t >= 1")
        i = torch.arange(steps + 1, device=t.device)
        times = t[:, None] - i * (t // (steps - 1))[:, None]
        times[:, -2], times[:, -1] = 0, CLEAN
        short = torch.full_like(times, CLEAN)
        short[:, 0], short[:, 1] = t, 0
        return torch.where((t >= steps - 1)[:, None], times, short)

    def step(self, t: Tensor, t_next: Tensor) -> Step:
        """The DDPM step from t [N] to t_next [N]; t_next = -1 is the clean latent.

        The posterior's mean for any pair t > t_next with the small fixed variance, nothing clipped; no noise is
        added from t = 0. Ho et al. 2020, eq. 7, with the predicted z_0 written out in z_t and `out`.
        """
        abar_t = self.abar[t]
        abar_next = torch.where(t_next >= 0, self.abar[t_next.clamp_min(0)], 1.0)
        alpha = abar_t / abar_next
        of_z0 = abar_next.sqrt() * (1 - alpha) / (1 - abar_t)
        of_zt = alpha.sqrt() * (1 - abar_next) / (1 - abar_t)
        if self.velocity:  # z_0 = sqrt(abar) z_t - sqrt(1 - abar) v
            a, b = of_zt + of_z0 * abar_t.sqrt(), -of_z0 * (1 - abar_t).sqrt()
        else:  # z_0 = (z_t - sqrt(1 - abar) eps) / sqrt(abar)
            a, b = of_zt + of_z0 / abar_t.sqrt(), -of_z0 * (1 - abar_t).sqrt() / abar_t.sqrt()
        variance = (1 - abar_next) / (1 - abar_t) * (1 - alpha)
        return Step(a, b, torch.where(t > 0, variance, 0.0).sqrt())

    def _scales(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        abar = self.abar[t]
        return column(abar.sqrt(), like), column((1 - abar).sqrt(), like)
