"""What the distances share. They compute in fp32 whatever the run's precision: they cost a few per cent of a step."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn


class FeatureDistance(nn.Module, ABC):
    """S(x_hat, x) from a few features of each image, so that those of targets can be kept instead of the images.

    A subclass says what the features are; S is the mean squared difference unless it says otherwise.
    """

    compact = True

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [-1, 1] -> [N, *F]."""

    def between(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """Features [N, 1, *F] and [N, K, *F] -> S [N, K]."""
        return (ours - theirs).square().flatten(2).mean(2)

    @torch.no_grad()
    def target(self, x: Tensor) -> Tensor:
        """The features [N, *F] of images x [N, 3, H, W] in [-1, 1]."""
        return self.features(as_parameters(self, x))

    def forward(self, x_hat: Tensor, target: Tensor, seeds: Tensor) -> Tensor:
        """x_hat [N, 3, H, W] in [-1, 1] and targets' features [N, K, *F] -> S [N, K]; seeds [N] are not used."""
        ours = self.features(as_parameters(self, x_hat))
        return self.between(ours[:, None], as_parameters(self, target.detach()))


class ImageDistance(nn.Module):
    """S(x_hat, x) whose targets stay images: their features are large, or depend on x_hat's augmentations."""

    compact = False

    def target(self, x: Tensor) -> Tensor:
        """The images themselves, [N, 3, H, W]."""
        return x.detach()


def as_parameters(module: nn.Module, x: Tensor) -> Tensor:
    """x in the type of the module's parameters."""
    return x.to(next(module.parameters()).dtype)
