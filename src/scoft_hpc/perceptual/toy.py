"""The distance `toy`: the toy world's own small frozen feature network."""

from __future__ import annotations

import torch
from torch import Tensor

from scoft_hpc.models.toy_networks import load_feature_net
from scoft_hpc.perceptual.distance import FeatureDistance
from scoft_hpc.perceptual.feature_maps import channel_normalize


class ToyDistance(FeatureDistance):
    """The maps of `models.toy_networks.FeatureNet` compared as the distance `vgg` compares its own.

    Images are resized to the network's 64 pixels, bilinear.
    """

    def __init__(self) -> None:
        super().__init__()
        self.network = load_feature_net()

    def features(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, F]: all maps with unit channels, scaled so that their sums are means over space."""
        if x.shape[-2:] != (64, 64):
            x = torch.nn.functional.interpolate(x, size=(64, 64), mode="bilinear", antialias=True)
        maps: list[Tensor] = self.network(x)
        return torch.cat(
            [(channel_normalize(m) / (m.shape[2] * m.shape[3]) ** 0.5).flatten(1) for m in maps], 1
        )

    def compare(self, features_x_hat: Tensor, features_target: Tensor) -> Tensor:
        """The squared difference, summed: over channels and maps a sum, over space the mean."""
        return (features_x_hat - features_target).square().sum(2)
