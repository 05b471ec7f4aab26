"""Distances on feature maps: unit channels, squared difference summed over them, mean over space, sum over maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

FeatureMaps = Callable[[Tensor], Sequence[Tensor]]
"""Images [N, 3, H, W] in [-1, 1] -> maps [N, C_i, H_i, W_i]."""


def map_distance(maps: FeatureMaps, x_hat: Tensor, x: Tensor) -> Tensor:
    """S(x_hat [N, 3, H, W], x [N, K, 3, H, W]) -> [N, K]; the gradient flows into x_hat only.

    The K images of a row are looked at one after the other: the maps of one at 512 pixels take 128 MB.

    Source: SCoFT utilities/lpips_loss.py; Zhang et al. 2018 (LPIPS) without the learned weights.
    """
    features_x_hat = [channel_normalize(m) for m in maps(x_hat)]
    distances = []
    for k in range(x.shape[1]):
        with torch.no_grad():
            targets = [channel_normalize(m) for m in maps(x[:, k])]
        parts = [(a - b).square().sum(1).mean((1, 2)) for a, b in zip(features_x_hat, targets, strict=True)]
        distances.append(torch.stack(parts).sum(0))
    return torch.stack(distances, 1)


def channel_normalize(maps: Tensor) -> Tensor:
    """Each position's channel vector at length 1; [N, C, H, W]."""
    return maps / (maps.square().sum(1, keepdim=True) + 1e-20).sqrt()
