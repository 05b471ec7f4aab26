"""The input of feature networks, made from images in [-1, 1] so that the gradient comes through."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SIZE = 224
"""Pixels a side that the networks with transformer blocks were trained at."""


def unit_range(x: Tensor, *, clamp: bool = False) -> Tensor:
    """[-1, 1] -> [0, 1]; `clamp` brings values outside to the bounds, with gradient 0."""
    x = (x + 1) / 2
    return x.clamp(0, 1) if clamp else x


def resize(x: Tensor, size: int = SIZE) -> Tensor:
    """[N, 3, H, W] -> [N, 3, size, size], bicubic and with antialiasing, as PIL resizes; values may overshoot.

    The antialiasing is [ours]: the authors resize tensors with torchvision, which antialiases them since 0.17 only.
    """
    if x.shape[-2:] == (size, size):
        return x
    return torch.nn.functional.interpolate(x, size=(size, size), mode="bicubic", antialias=True)


class Normalize(nn.Module):
    """Channels of [N, 3, H, W] in [0, 1] less their mean, over their standard deviation."""

    def __init__(self, mean: tuple[float, float, float], std: tuple[float, float, float]) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.tensor(mean).view(3, 1, 1))
        self.std = nn.Buffer(torch.tensor(std).view(3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std


def imagenet() -> Normalize:
    """Torchvision's and DINOv2's colours."""
    return Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def openai_clip() -> Normalize:
    """CLIP's colours, which BLIP-2 shares."""
    return Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
