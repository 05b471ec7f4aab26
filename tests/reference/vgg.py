"""VGG16's features as torchvision builds them, and the maps that the authors' extractor keeps of them.

Torchvision's ReLUs work in place. The extractor cuts `features` into five groups, each ending right before a ReLU, and
keeps what each group returns. The next group begins with that ReLU, which overwrites the kept tensor. So the maps
of groups 1 to 4 are after ReLU when they are compared, and only that of group 5, which no layer follows, is before.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

CONFIGURATION = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")
CUTS = (0, 3, 8, 15, 22, 29)


def features(seed: int = 0) -> nn.Sequential:
    """Torchvision's `vgg16().features` (configuration D), frozen, with He-initialised weights and small biases."""
    layers: list[nn.Module] = []
    channels = 3
    rng = torch.Generator().manual_seed(seed)
    for entry in CONFIGURATION:
        if isinstance(entry, str):
            layers.append(nn.MaxPool2d(kernel_size=2, stride=2))
            continue
        conv = nn.Conv2d(channels, entry, kernel_size=3, padding=1)
        with torch.no_grad():
            conv.weight.copy_(torch.randn(conv.weight.shape, generator=rng) * (2 / (9 * channels)) ** 0.5)
            conv.bias.copy_(torch.randn(entry, generator=rng) * 0.1)
        layers += [conv, nn.ReLU(inplace=True)]
        channels = entry
    return nn.Sequential(*layers).requires_grad_(False).eval()


class Distance(nn.Module):
    """The authors' VGG distance: images [B, 3, H, W] x 2 in [-1, 1] -> [B].

    Args:
        inplace: False for what the code would compute if ReLU left its input alone: all five maps before ReLU.
    """

    def __init__(self, layers: nn.Sequential, *, inplace: bool = True) -> None:
        super().__init__()
        self.groups = nn.ModuleList(layers[start:end] for start, end in pairwise(CUTS))
        self.inplace = inplace

    def maps(self, x: Tensor) -> list[Tensor]:
        """The five maps as they are once all groups have run."""
        mean = torch.tensor([0.485, 0.456, 0.406]).to(x).view(1, 3, 1, 1)
        std = torch.tensor([0.229, 0.224, 0.225]).to(x).view(1, 3, 1, 1)
        x = ((x + 1) / 2 - mean) / std
        feature_maps = []
        for group in self.groups:
            x = group(x if self.inplace else x.clone())
            feature_maps.append(x)
        return feature_maps

    def groupwise(self, x: Tensor, y: Tensor) -> Tensor:
        """What each group adds to the distance, [5, B]."""
        parts = []
        for a, b in zip(self.maps(x), self.maps(y), strict=True):
            a, b = (m / (m.square().sum(1, keepdim=True).sqrt() + 1e-10) for m in (a, b))
            parts.append((a - b).square().sum(1).mean((1, 2)))
        return torch.stack(parts)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.groupwise(x, y).sum(0)
