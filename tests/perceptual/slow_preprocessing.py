"""Preprocessing in the slowest way: PIL resizes a channel at a time, numpy does the colours."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
Array = NDArray[np.float32]


def images(*shape: int, size: int = 320) -> torch.Tensor:
    """A little beyond [-1, 1], as a decoder's pictures are."""
    rng = torch.Generator().manual_seed(len(shape))
    patches = torch.rand(*shape, 3, 10, 10, generator=rng) * 2.4 - 1.2
    return patches.repeat_interleave(size // 10, -1).repeat_interleave(size // 10, -2)


def resized(image: Array, size: int = 224, how: Image.Resampling = Image.Resampling.BICUBIC) -> Array:
    """[3, H, W] through PIL, a channel at a time in floating point."""
    channels = [Image.fromarray(channel, "F").resize((size, size), how) for channel in image]
    return np.stack([np.asarray(channel) for channel in channels])


def coloured(image: Array, colours: tuple[list[float], list[float]]) -> torch.Tensor:
    mean, std = (np.array(values, np.float32)[:, None, None] for values in colours)
    return torch.from_numpy((image - mean) / std)[None]


def in_unit_range(image: torch.Tensor) -> Array:
    return (np.asarray(image, np.float32) + 1) / 2
