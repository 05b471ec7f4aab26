"""The depth of images, as a ControlNet takes it: DPT (Ranftl et al. 2021) through transformers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate
from transformers import DPTForDepthEstimation, DPTImageProcessorPil

from scoft_hpc.models.network import load_network

UNUSED_LAYERS = ("neck.fusion_stage.layers.0.residual_layer1.",)
"""The first fusion has nothing to add: the public files leave this layer out, and no depth passes through it."""


@dataclass(frozen=True)
class DepthEstimator:
    """DPT, frozen and in fp32, and the processor that brings images into its size."""

    network: Any
    processor: Any
    device: torch.device

    @torch.no_grad()
    def maps(self, x: Tensor) -> Tensor:
        """Depth maps [N, 3, H, W] in [0, 1], what is near being bright, of images [N, 3, H, W] in [-1, 1].

        Each map is stretched to the whole range, its three channels are equal.

        Source: the images of transformers' depth-estimation pipeline, which sd-controlnet-depth is used with; here
        they are not rounded to 8 bits.
        """
        pixels = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        inputs = self.processor([Image.fromarray(image) for image in pixels], return_tensors="pt")
        inverse = self.network(inputs["pixel_values"].to(self.device)).predicted_depth.float()
        inverse = interpolate(inverse[:, None], x.shape[-2:], mode="bicubic", align_corners=False)
        low, high = inverse.amin((1, 2, 3), keepdim=True), inverse.amax((1, 2, 3), keepdim=True)
        return ((inverse - low) / (high - low).clamp_min(1e-8)).expand(-1, 3, -1, -1)


def load_depth(folder: Path, device: torch.device) -> DepthEstimator:
    """Read a folder in transformers' layout; safetensors only, nothing is downloaded.

    Raises:
        ConfigError: if the folder does not hold the whole network.
    """
    network = load_network(DPTForDepthEstimation, folder, unread=UNUSED_LAYERS, dtype=torch.float32)
    processor = DPTImageProcessorPil.from_pretrained(folder, local_files_only=True)
    return DepthEstimator(network.to(device), processor, device)
