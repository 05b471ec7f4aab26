"""The distance `dino`: DINOv2's tokens before its last layer norm."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import Dinov2Model

from scoft_hpc.models.network import load_network
from scoft_hpc.perceptual import images
from scoft_hpc.perceptual.distance import FeatureDistance


class DinoDistance(FeatureDistance):
    """MSE of all tokens, CLS and patches, as the last block leaves them.

    Images are clamped to [-1, 1], resized to 224 pixels and given ImageNet's colours. The position embeddings, made for
    518 pixels, are interpolated by transformers to exactly 16 x 16; torch.hub's network, the authors', shifts them by a
    tenth of a patch.

    Args:
        folder: a Dinov2Model as transformers saves it; the authors' is ViT-L/14.

    Source: SCoFT utilities/dino_loss.py (`x_prenorm`).
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.network = load_network(Dinov2Model, folder, use_safetensors=None, dtype=torch.float32)
        self.network.layernorm = nn.Identity()
        self.normalize = images.imagenet()

    def features(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, 1 + 16 * 16, D]."""
        x = self.normalize(images.resize(images.unit_range(x, clamp=True)))
        tokens: Tensor = self.network(pixel_values=x).last_hidden_state
        return tokens
