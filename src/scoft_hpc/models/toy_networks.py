"""The two readers of toy images: a frozen feature network (the distance "toy") and the scorer that knows the truth.

They are different networks trained from different seeds: what a run is trained towards is not what judges it.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

from safetensors.torch import load_file
from torch import Tensor, nn

from scoft_hpc.errors import DataError
from scoft_hpc.inputs.toy.scenes import PLACES, STYLES, SUBJECTS
from scoft_hpc.inputs.toy.world import ASSETS


class FeatureNet(nn.Module):
    """A small smooth convolutional network, about 0.1 M parameters.

    Trained to read subject, style and place off an image; the reading head is used in pre-training only.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 96)
        self.stages = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(fan_in, fan_out, 4, stride=2, padding=1),
                nn.GroupNorm(8, fan_out),
                nn.SiLU(),
            )
            for fan_in, fan_out in pairwise(widths)
        )
        self.head = nn.Linear(widths[-1], len(STYLES) + len(SUBJECTS) + len(PLACES) + 1)

    def forward(self, x: Tensor) -> list[Tensor]:
        """x [N, 3, 64, 64] in [-1, 1] -> feature maps [N, 24, 32, 32], [N, 48, 16, 16], [N, 96, 8, 8]."""
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features

    def read(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """x [N, 3, 64, 64] -> logits of style [N, 6], subject [N, 8] and place or none [N, 4]."""
        logits = self.head(self.forward(x)[-1].mean(dim=(2, 3)))
        style, subject, place = logits.split((len(STYLES), len(SUBJECTS), len(PLACES) + 1), dim=1)
        return style, subject, place


class ToyLogits(NamedTuple):
    """What the scorer reads off images: logits of style [N, 6] (index into STYLES) and subject [N, 8]."""

    style: Tensor
    subject: Tensor


class Scorer(nn.Module):
    """Reads style and subject off an image, about 0.25 M parameters."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 80, 128)
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise(widths):
            layers += [
                nn.Conv2d(fan_in, fan_out, 3, padding=1),
                nn.BatchNorm2d(fan_out),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.style = nn.Linear(widths[-1] * 16, len(STYLES))
        self.subject = nn.Linear(widths[-1] * 16, len(SUBJECTS))

    def forward(self, x: Tensor) -> ToyLogits:
        """x [N, 3, 64, 64] in [-1, 1] -> Reading."""
        trunk = self.trunk(x)
        return ToyLogits(self.style(trunk), self.subject(trunk))


Network = TypeVar("Network", bound=nn.Module)


def _load(network: Network, path: Path) -> Network:
    if not path.is_file():
        raise DataError(
            f"the toy world's network is missing: {path}. It ships with the package: install it again, "
            "or make it with `python tools/pretrain_toy.py --out DIR`."
        )
    network.load_state_dict({name: weight.float() for name, weight in load_file(path).items()})
    return network.eval().requires_grad_(False)


def load_feature_net(folder: Path = ASSETS) -> FeatureNet:
    """The frozen feature network in fp32. Raises DataError if it is not there."""
    return _load(FeatureNet(), folder / "feature_net.safetensors")


def load_scorer(folder: Path = ASSETS) -> Scorer:
    """The frozen scorer in fp32. Raises DataError if it is not there."""
    return _load(Scorer(), folder / "scorer.safetensors")
