"""The feature distances by name; each network, and the library that it comes from, is loaded only when asked for."""

from __future__ import annotations

from collections.abc import Callable

import torch

from scoft_hpc.config.schema import Objective
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import distances
from scoft_hpc.losses.perceptual import Distance
from scoft_hpc.perceptual.distance import FeatureDistance, ImageDistance


def _toy(objective: Objective, device: torch.device) -> FeatureDistance:
    from scoft_hpc.perceptual.toy import ToyDistance

    return ToyDistance().to(device)


def _dreamsim(objective: Objective, device: torch.device) -> FeatureDistance:
    from scoft_hpc.perceptual.dreamsim import DreamSimDistance

    return DreamSimDistance(distances.locate("dreamsim", objective), device)


def _dino(objective: Objective, device: torch.device) -> FeatureDistance:
    from scoft_hpc.perceptual.dino import DinoDistance

    return DinoDistance(distances.locate("dino", objective)).to(device)


def _clip(objective: Objective, device: torch.device) -> ImageDistance:
    from scoft_hpc.perceptual.clip import ClipDistance

    return ClipDistance(distances.locate("clip", objective)).to(device)


def _blip2(objective: Objective, device: torch.device) -> FeatureDistance:
    from scoft_hpc.perceptual.blip2 import Blip2Distance

    return Blip2Distance(distances.locate("blip2", objective)).to(device)


def _vgg(objective: Objective, device: torch.device) -> ImageDistance:
    from scoft_hpc.perceptual.vgg import VggDistance

    return VggDistance(distances.locate("vgg", objective)).to(device)


DISTANCES: dict[str, Callable[[Objective, torch.device], FeatureDistance | ImageDistance]] = {
    "toy": _toy,
    "dreamsim": _dreamsim,
    "dino": _dino,
    "clip": _clip,
    "blip2": _blip2,
    "vgg": _vgg,
}


def load_distance(name: str, objective: Objective, device: torch.device) -> Distance:
    """The distance `name`, frozen, in fp32, on the device.

    Raises:
        ConfigError: for a name that is not in DISTANCES, or weights that are not there.
    """
    if name not in DISTANCES:
        raise ConfigError(f"objective.distance={name}: not known; it is one of {', '.join(DISTANCES)}.")
    return DISTANCES[name](objective, device)


def key(name: str, objective: Objective) -> tuple[str, str | None]:
    """What tells networks apart: equal keys, one network; that of VGG is the same as S and as the VGG term."""
    return name, distances.path_of(name, objective)
