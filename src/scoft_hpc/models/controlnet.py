"""A ControlNet on the frozen U-Net, for control images such as depth maps (Zhang et al. 2023)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from torch import Tensor, nn

from scoft_hpc.config.schema import Negatives
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import negatives
from scoft_hpc.models.families.stable_diffusion import StableDiffusion
from scoft_hpc.models.network import load_network


class ControlledUNet(nn.Module):
    """A U-Net whose skip connections get the ControlNet's residuals for `control_images` [N, 3, H, W] in [0, 1].

    A batch holds the N rows once, or several times one after the other, as classifier-free guidance has them: both
    halves get them.
    """

    def __init__(self, unet: Any, controlnet: Any, control_images: Tensor) -> None:
        super().__init__()
        self.unet, self.controlnet, self.control_images = unet, controlnet, control_images

    def forward(self, z_t: Tensor, t: Tensor, text: Tensor, return_dict: bool = False) -> Any:
        control_images = self.control_images.to(z_t.dtype).repeat(
            len(z_t) // len(self.control_images), 1, 1, 1
        )
        down, mid = self.controlnet(z_t, t, text, control_images, return_dict=False)
        return self.unet(
            z_t,
            t,
            text,
            down_block_additional_residuals=down,
            mid_block_additional_residual=mid,
            return_dict=return_dict,
        )


def with_controlnet(base: StableDiffusion, controlnet: Any, control_images: Tensor) -> StableDiffusion:
    """A copy of the base whose U-Net has the ControlNet, at scale 1."""
    return replace(base, unet=ControlledUNet(base.unet, controlnet, control_images))


def load_controlnet(settings: Negatives, base: StableDiffusion) -> Any:
    """Read `controlnet_path`, a folder in diffusers' layout, in the base's precision; safetensors only, no download.

    Raises:
        ConfigError: if the folder does not hold the whole network, or one that was made for another base model.
    """
    controlnet = load_network(ControlNetModel, Path(settings.controlnet_path), torch_dtype=base.dtype)
    if fault := negatives.misfit(settings, controlnet.config, base.unet.config):
        raise ConfigError(fault)
    layout = torch.channels_last if base.device.type == "cuda" else torch.preserve_format  # as the U-Net's
    return controlnet.to(base.device, memory_format=layout)
