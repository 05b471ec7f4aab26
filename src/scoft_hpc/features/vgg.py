"""The distance `vgg`: VGG16 features before ReLU, without learned weights (the authors' code calls it LPIPS)."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from scoft_hpc.errors import ConfigError
from scoft_hpc.features.maps import map_distance

BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
CUTS = (3, 8, 15, 22, 29)
"""A map is taken before these layers (all ReLUs) of VGG16's `features`."""
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def vgg16_features() -> nn.Sequential:
    """VGG16's convolutional part up to the last cut, numbered as torchvision numbers it."""
    layers: list[nn.Module] = []
    width = 3
    for block in BLOCKS:
        for fan_out in block:
            layers += [nn.Conv2d(width, fan_out, 3, padding=1), nn.ReLU()]
            width = fan_out
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers[: CUTS[-1]])


class VggDistance(nn.Module):
    """S on five groups of VGG16 maps; ImageNet mean and standard deviation, no resize.

    Args:
        weights: safetensors file of torchvision's VGG16, its `features.N.weight` and `.bias`.

    Raises:
        ConfigError: if the file is not there or holds other weights.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        self.layers = vgg16_features()
        try:
            state = {
                k.removeprefix("features."): v.float()
                for k, v in load_file(weights).items()
                if k[:9] == "features."
            }
            self.layers.load_state_dict(state)
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ConfigError(
                f"objective.vgg_path={weights} does not give VGG16's features ({reason}); expected a "
                "safetensors file of torchvision's vgg16 weights."
            ) from None
        self.mean = nn.Buffer(torch.tensor(MEAN).view(1, 3, 1, 1))
        self.std = nn.Buffer(torch.tensor(STD).view(1, 3, 1, 1))
        self.requires_grad_(False).eval()

    def forward(self, x_hat: Tensor, x: Tensor) -> Tensor:
        """x_hat [N, 3, H, W] and x [N, K, 3, H, W] in [-1, 1] -> [N, K]."""
        return map_distance(self._maps, x_hat, x)

    def _maps(self, x: Tensor) -> list[Tensor]:
        x = ((x + 1) / 2 - self.mean) / self.std
        maps = []
        for index, layer in enumerate(self.layers):
            if index in CUTS:
                maps.append(x)
            x = layer(x)
        return [*maps, x]
