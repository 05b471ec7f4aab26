"""What distances on feature maps share: unit channels, squared difference, mean over space, sum over maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

FeatureMaps = Callable[[Tensor], Sequence[Tensor]]
"""Images [N, 3, H, W] in [-1, 1] -> maps [N, C_i, H_i, W_i]."""


def map_distance(maps: FeatureMaps, x_hat: Tensor, x: Tensor) -> Tensor:
    """S(x_hat [N, 3, H, W], x [N, K, 3, H, W]) -> [N, K]; the gradient flows into x_hat only.

    Source: SCoFT utilities/lpips_loss.py; Zhang et al. 2018 (LPIPS) without the learned weights.
    """
    n, k = x.shape[:2]
    with torch.no_grad():
        targets = [unit(m).unflatten(0, (n, k)) for m in maps(x.flatten(0, 1))]
    s = torch.zeros(n, k, dtype=x_hat.dtype, device=x_hat.device)
    for ours, target in zip(maps(x_hat), targets, strict=True):
        s = s + (unit(ours)[:, None] - target).square().sum(2).mean((2, 3))
    return s


def unit(maps: Tensor) -> Tensor:
    """Each position's channel vector at length 1; [N, C, H, W]."""
    return maps / (maps.square().sum(1, keepdim=True) + 1e-20).sqrt()
