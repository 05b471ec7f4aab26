"""What the distances share. They compute in fp32 whatever the run's precision: they cost a few per cent of a step."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class FeatureDistance(nn.Module, ABC):
    """S(x_hat, x) from a few features of each image, so that those of targets can be cached instead of the images.

    A subclass says what the features are; S is the mean squared difference unless it says otherwise.
    """

    cacheable = True

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [-1, 1] -> [N, *F]."""

    def compare(self, features_x_hat: Tensor, features_target: Tensor) -> Tensor:
        """Features [N, 1, *F] and [N, K, *F] -> S [N, K]."""
        return (features_x_hat - features_target).square().flatten(2).mean(2)

    @torch.no_grad()
    def target(self, x: Tensor) -> Tensor:
        """The features [N, *F] of images x [N, 3, H, W] in [-1, 1]."""
        return self.features(as_parameters(self, x))

    def forward(self, x_hat: Tensor, target: Tensor, seeds: Tensor) -> Tensor:
        """x_hat [N, 3, H, W] in [-1, 1] and targets' features [N, K, *F] -> S [N, K]; seeds [N] are not used."""
        features_x_hat = self.features(as_parameters(self, x_hat))
        return self.compare(features_x_hat[:, None], as_parameters(self, target.detach()))


class ImageDistance(nn.Module):
    """S(x_hat, x) whose targets stay images: their features are large, or depend on x_hat's augmentations."""

    cacheable = False

    def target(self, x: Tensor) -> Tensor:
        """The images themselves, [N, 3, H, W]."""
        return x.detach()


def as_parameters(module: nn.Module, x: Tensor) -> Tensor:
    """x in the type of the module's parameters."""
    return x.to(next(module.parameters()).dtype)
