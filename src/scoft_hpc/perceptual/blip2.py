"""The distance `blip2`: what BLIP-2's queries read off an image, where images and texts are compared."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import Blip2ForImageTextRetrieval

from scoft_hpc.models.network import load_network
from scoft_hpc.perceptual import images
from scoft_hpc.perceptual.distance import FeatureDistance


class Blip2Distance(FeatureDistance):
    """MSE of the Q-Former's queries, projected and brought to length 1.

    Images are resized to 224 pixels and given CLIP's colours. Of the network the parts that read text are left out.

    Args:
        folder: a Blip2ForImageTextRetrieval as transformers saves it; the authors' is LAVIS' `blip2`, `pretrain`.

    Source: SCoFT utilities/blip2_loss.py.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        network = load_network(Blip2ForImageTextRetrieval, folder, use_safetensors=None, dtype=torch.float32)
        self.vision = network.vision_model
        self.queries = network.query_tokens
        self.qformer = network.qformer
        self.projection = network.vision_projection
        self.normalize = images.openai_clip()

    def features(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] -> [N, queries, D]."""
        x = self.normalize(images.resize(images.unit_range(x)))
        seen = self.vision(pixel_values=x).last_hidden_state
        queries = self.queries.expand(len(x), -1, -1)
        read = self.qformer(query_embeds=queries, encoder_hidden_states=seen).last_hidden_state
        return torch.nn.functional.normalize(self.projection(read), dim=-1)
