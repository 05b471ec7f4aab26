"""The feature distances by name; each network is loaded only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from scoft_hpc.config.schema import Objective
from scoft_hpc.errors import ConfigError


def _toy(objective: Objective) -> nn.Module:
    from scoft_hpc.features.toy import ToyDistance

    return ToyDistance()


def _vgg(objective: Objective) -> nn.Module:
    from scoft_hpc.features.vgg import VggDistance

    if objective.vgg_path is None:
        raise ConfigError("the vgg distance needs its weights: set objective.vgg_path=FILE.safetensors.")
    return VggDistance(Path(objective.vgg_path))


DISTANCES: dict[str, Callable[[Objective], nn.Module]] = {"toy": _toy, "vgg": _vgg}


def load_distance(name: str, objective: Objective, device: torch.device) -> nn.Module:
    """The distance `name`, frozen, on the device.

    Raises:
        ConfigError: for a name that is not in DISTANCES, or weights that are not there.
    """
    if name not in DISTANCES:
        raise ConfigError(f"objective.distance={name}: not known; it is one of {', '.join(DISTANCES)}.")
    return DISTANCES[name](objective).to(device)
