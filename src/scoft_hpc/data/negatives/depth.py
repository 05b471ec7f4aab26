"""Negatives that keep the depth of the culture's image: what stands where is given, how it looks is the base's own.

Source: the SCoFT authors' way (Stable Diffusion with a depth ControlNet, prompted with the image's caption).
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from scoft_hpc.config.schema import Negatives
from scoft_hpc.errors import ConfigError
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.controlnet import load_controlnet, with_controlnet
from scoft_hpc.models.depth import load_depth
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.families.stable_diffusion import StableDiffusion
from scoft_hpc.models.sampler import sample


class Depth:
    """Raises ConfigError for a base of another family, or a ControlNet that was made for another base model."""

    def __init__(self, base: DiffusionModel, settings: Negatives) -> None:
        if not isinstance(base, StableDiffusion):
            raise ConfigError(
                f"negatives=depth needs a Stable Diffusion, whose ControlNets it uses; found a {type(base).__name__}."
            )
        self.base, self.settings = base, settings
        self.controlnet = load_controlnet(settings, base)
        self.depth = load_depth(Path(settings.depth_path), base.device)

    def __call__(self, x: Tensor, text: Conditioning, null: Conditioning, noise: Tensor) -> Tensor:
        base = with_controlnet(self.base, self.controlnet, self.depth.maps(x))
        steps, guidance = self.settings.steps, self.settings.guidance
        return sample(base, text, null, noise, steps=steps, guidance=guidance)
