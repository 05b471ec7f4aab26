"""The distance `toy`: the toy world's own small frozen feature network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scoft_hpc.features.maps import map_distance
from scoft_hpc.toy.networks import load_feature_net


class ToyDistance(nn.Module):
    """S on the feature maps of `toy.networks.FeatureNet`; images are resized to its 64 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.network = load_feature_net()

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """x_hat [N, 3, H, W] and x [N, K, 3, H, W] in [-1, 1] -> [N, K]."""
        return map_distance(self._maps, x_hat, x)

    def _maps(self, x: Tensor) -> list[Tensor]:
        if x.shape[-1] != 64:
            x = torch.nn.functional.interpolate(x, size=(64, 64), mode="bilinear", antialias=True)
        maps: list[Tensor] = self.network(x)
        return maps
