"""Features drawn from known distributions, and what may be asked of estimates from many draws."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

DRAWS = 1000


def normal(*shape: int, seed: int = 0, mean: float = 0.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64) + mean


def right_on_average(estimates: Tensor, truth: float) -> None:
    """The mean of independent estimates lies within 4 standard errors of the truth."""
    assert abs(float(estimates.mean()) - truth) < 4 * float(estimates.std()) / len(estimates) ** 0.5


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)
