"""The families of base models: each is a file here, and one without torch in `inputs.checkpoints.families`."""

from __future__ import annotations

from collections.abc import Callable

import torch

from scoft_hpc.config.schema import Model
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.families import stable_diffusion
from scoft_hpc.models.network import quiet_libraries

FAMILIES: dict[str, Callable[[Model, torch.device], DiffusionModel]] = {
    "stable_diffusion": stable_diffusion.load,
}
"""How a resolved model is loaded, by `model.family`."""


def load_model(model: Model, device: torch.device) -> DiffusionModel:
    """The resolved model (`inputs.checkpoints.families`) on the device, in its precision; nothing is downloaded.

    Raises:
        ConfigError: if the files lack tensors, or have others than the architecture.
    """
    quiet_libraries()
    return FAMILIES[model.family](model, device)
