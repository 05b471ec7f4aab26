"""What training and rollouts need of a noise process: how data becomes noise, and one step of the way back."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Step(NamedTuple):
    """z' = a z + b out + sigma n, with `out` the network's output and n standard normal; each [N], fp64."""

    a: Tensor
    b: Tensor
    sigma: Tensor


class NoiseProcess(Protocol):
    """How a family of models noises data and is run backward.

    Times are on the host, integers or real numbers as the process has them; they grow with the noise. Coefficients are
    computed in fp64 and applied in the type of the latents.
    """

    def sample_times(self, n: int, rng: torch.Generator) -> Tensor:
        """Training times [n], each one that a rollout can start from."""
        ...

    def add_noise(self, z_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """z_t [N, C, h, w] of clean latents and standard normal eps [N, C, h, w], at times t [N]."""
        ...

    def target(self, z_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """What the network should output at z_t, [N, C, h, w]."""
        ...

    def rollout_times(self, t: Tensor, steps: int) -> Tensor:
        """Each row's way from t [N] to the clean latent in at most `steps` network calls, [N, steps + 1].

        Call i goes from time i to time i + 1. Times fall strictly until the clean latent's, which is repeated where a
        row takes fewer calls than `steps`.
        """
        ...

    def step(self, t: Tensor, t_next: Tensor) -> Step:
        """The step from times t [N] to t_next [N], both among a row's `rollout_times`."""
        ...


def column(values: Tensor, like: Tensor) -> Tensor:
    """[N] as [N, 1, 1, 1] in the type and on the device of `like`, to scale its rows."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))
