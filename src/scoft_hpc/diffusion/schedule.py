"""The noise schedule: z_t = sqrt(abar_t) z_0 + sqrt(1 - abar_t) eps, and one DDPM step back as three coefficients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Step(NamedTuple):
    """z_prev = a z_t + b out + sigma n, with `out` the U-Net's output and n standard normal; each [N]."""

    a: Tensor
    b: Tensor
    sigma: Tensor


@dataclass(frozen=True)
class Schedule:
    """A discrete diffusion schedule.

    Attributes:
        abar: cumulative products of alpha, [T], fp64, on the host, as are all timesteps.
        velocity: whether the U-Net predicts v = sqrt(abar) eps - sqrt(1 - abar) z_0 instead of eps.
    """

    abar: Tensor
    velocity: bool = False

    def __len__(self) -> int:
        return len(self.abar)

    def sample_times(self, n: int, rng: torch.Generator) -> Tensor:
        """Timesteps to train on [n], uniform over 1 .. T - 1: a rollout from t = 0 has no steps."""
        return torch.randint(1, len(self), (n,), generator=rng)

    def add_noise(self, z_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """z_t [N, C, h, w] for timesteps t [N]. Ho et al. 2020, eq. 4."""
        signal, noise = self._scales(t, z_0)
        return signal * z_0 + noise * eps

    def target(self, z_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What the U-Net should output: eps, or the velocity (Salimans & Ho 2022, eq. 10)."""
        if not self.velocity:
            return eps
        signal, noise = self._scales(t, z_0)
        return signal * eps - noise * z_0

    def step(self, t: Tensor, t_prev: Tensor) -> Step:
        """The DDPM step from t [N] to t_prev [N]; t_prev = -1 is the clean latent.

        The posterior's mean for any pair t > t_prev with the small fixed variance, nothing clipped; no noise is
        added from t = 0. Ho et al. 2020, eq. 7, with the predicted z_0 written out in z_t and `out`.
        """
        abar_t = self.abar[t]
        abar_prev = torch.where(t_prev >= 0, self.abar[t_prev.clamp_min(0)], 1.0)
        alpha = abar_t / abar_prev
        of_z0 = abar_prev.sqrt() * (1 - alpha) / (1 - abar_t)
        of_zt = alpha.sqrt() * (1 - abar_prev) / (1 - abar_t)
        if self.velocity:  # z_0 = sqrt(abar) z_t - sqrt(1 - abar) v
            a, b = of_zt + of_z0 * abar_t.sqrt(), -of_z0 * (1 - abar_t).sqrt()
        else:  # z_0 = (z_t - sqrt(1 - abar) eps) / sqrt(abar)
            a, b = of_zt + of_z0 / abar_t.sqrt(), -of_z0 * (1 - abar_t).sqrt() / abar_t.sqrt()
        variance = (1 - abar_prev) / (1 - abar_t) * (1 - alpha)
        return Step(a, b, torch.where(t > 0, variance, 0.0).sqrt())

    def _scales(self, t: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        abar = self.abar[t]
        return column(abar.sqrt(), like), column((1 - abar).sqrt(), like)


def column(values: Tensor, like: Tensor) -> Tensor:
    """[N] as [N, 1, 1, 1] in the type and on the device of `like`, to scale its rows."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))
