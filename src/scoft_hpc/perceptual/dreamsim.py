"""The distance `dreamsim`: DreamSim's ensemble of DINO, CLIP and OpenCLIP, from its own package."""

from __future__ import annotations

import contextlib
import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scoft_hpc.errors import ConfigError
from scoft_hpc.perceptual import images
from scoft_hpc.perceptual.distance import FeatureDistance
from scoft_hpc.text import first_line


class DreamSimDistance(FeatureDistance):
    """1 - cosine of the ensemble's embeddings, as `dreamsim.PerceptualModel` computes it.

    Images in [0, 1] are resized to 224 pixels; they are square, so there is nothing to crop.

    Args:
        folder: the package's `cache_dir`, with all that it would download. The package runs the code of DINO's
            repository, which is in the folder too.
        device: where the network stays: the package keeps two of its matrices where it loads.

    Raises:
        ConfigError: if the package is missing, or what is in the folder cannot be loaded.

    Source: SCoFT utilities/dreamsim_loss.py; dreamsim 0.2.1, `PerceptualModel.forward`.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        super().__init__()
        self.network = _load(folder, device).float()
        self.requires_grad_(False).eval()

    def features(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, D], centred and of length 1."""
        embedded: Tensor = self.network.embed(images.resize(images.unit_range(x)))
        return embedded

    def compare(self, features_x_hat: Tensor, features_target: Tensor) -> Tensor:
        return 1 - torch.nn.functional.cosine_similarity(features_x_hat, features_target, dim=-1)


def _load(folder: Path, device: torch.device) -> Any:
    """The package's network. It prints while it loads and sets torch.hub's folder; both are undone."""
    try:
        from dreamsim import dreamsim
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision made for another torch
        raise ConfigError(
            f"objective.distance=dreamsim cannot be loaded ({first_line(error)}): "
            f"`pip install 'scoft-hpc[perceptual]'`."
        ) from None
    hub = torch.hub.get_dir()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            network, _ = dreamsim(device=str(device), cache_dir=str(folder))
    except (
        OSError,
        RuntimeError,
        ValueError,
        KeyError,
        ImportError,
        EOFError,
        pickle.UnpicklingError,
    ) as error:
        raise ConfigError(
            f"objective.distance_path={folder} does not give DreamSim's ensemble ({first_line(error)}); remove it and "
            f"let the dreamsim package fill it again where there is a network."
        ) from None
    finally:
        torch.hub.set_dir(hub)
    return network
