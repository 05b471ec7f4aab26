"""The distance `vgg`: VGG16 features without learned weights (the authors' code calls it LPIPS)."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints.catalogue import VGG16_BLOCKS
from scoft_hpc.perceptual import images
from scoft_hpc.perceptual.distance import ImageDistance, as_parameters
from scoft_hpc.perceptual.feature_maps import map_distance
from scoft_hpc.text import first_line

AFTER_RELU = (3, 8, 15, 22)
"""The layers of VGG16's `features` (all ReLUs) whose output is a map; the fifth map is the last convolution's."""


def vgg16_features() -> nn.Sequential:
    """VGG16's convolutional part up to its last convolution, numbered as torchvision numbers it."""
    layers: list[nn.Module] = []
    width = 3
    for block in VGG16_BLOCKS:
        for fan_out in block:
            layers += [nn.Conv2d(width, fan_out, 3, padding=1), nn.ReLU()]
            width = fan_out
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers[:-2])  # without the last ReLU and pooling


class VggDistance(ImageDistance):
    """S on five maps of VGG16, the first four after ReLU and the fifth before; ImageNet's colours, no resize.

    The authors' extractor ends each of its five groups of layers before a ReLU and keeps what the group returns. But
    torchvision's ReLUs work in place, and the next group begins with one, which overwrites the kept map: groups 1 to 4
    are compared after ReLU. The objective's forms `official` and `triplet` differ in L_C alone, so this is the VGG term
    of both, and S of `objective.distance=vgg`.

    Args:
        file: safetensors of torchvision's VGG16, its `features.N.weight` and `.bias`; timm's have the same names.

    Raises:
        ConfigError: if the file does not exist or holds other weights.

    Source: SCoFT utilities/lpips_loss.py with torchvision's `vgg16`.
    """

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.layers = vgg16_features()
        start = "features."
        try:
            state = {
                k.removeprefix(start): v.float() for k, v in load_file(file).items() if k.startswith(start)
            }
            self.layers.load_state_dict(state)
        except (OSError, SafetensorError, RuntimeError) as error:
            raise ConfigError(
                f"objective.vgg_path={file} does not give VGG16's features ({first_line(error)}); expected a "
                "safetensors file of torchvision's vgg16 weights."
            ) from None
        self.normalize = images.imagenet()
        self.requires_grad_(False).eval()

    def forward(self, x_hat: Tensor, target: Tensor, seeds: Tensor) -> Tensor:
        """x_hat [N, 3, H, W] and images [N, K, 3, H, W] in [-1, 1] -> S [N, K]; seeds [N] are not used."""
        return map_distance(self._maps, as_parameters(self, x_hat), as_parameters(self, target))

    def _maps(self, x: Tensor) -> list[Tensor]:
        """The maps [N, C_i, H_i, W_i] of images [N, 3, H, W] in [-1, 1]."""
        x = self.normalize(images.unit_range(x))
        maps = []
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index in AFTER_RELU:
                maps.append(x)
        return [*maps, x]
