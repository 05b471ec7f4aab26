"""The feature distances by name; each network, and the library that it comes from, is loaded only when asked for."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import torch

from scoft_hpc.config.schema import Objective
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import distances
from scoft_hpc.losses.perceptual import Distance

DISTANCES = {
    "toy": "ToyDistance",
    "dreamsim": "DreamSimDistance",
    "dino": "DinoDistance",
    "clip": "ClipDistance",
    "blip2": "Blip2Distance",
    "vgg": "VggDistance",
}
"""The class of each, in the module of its name in this package."""


def load_distance(name: str, objective: Objective, device: torch.device) -> Distance:
    """The distance `name`, frozen, in fp32, on the device.

    Raises:
        ConfigError: for a name that is not in DISTANCES, or weights that are missing.
    """
    if name not in DISTANCES:
        raise ConfigError(f"objective.distance={name}: not known; it is one of {', '.join(DISTANCES)}.")
    kind = getattr(import_module(f"scoft_hpc.perceptual.{name}"), DISTANCES[name])
    if name == "toy":
        network = kind()
    elif name == "dreamsim":  # its package keeps two matrices on the device where it loads
        network = kind(distances.locate(name, objective), device)
    else:
        network = kind(distances.locate(name, objective))
    return cast(Distance, network.to(device))
