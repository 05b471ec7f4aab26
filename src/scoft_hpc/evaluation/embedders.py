"""The embedders of the metrics, frozen and in fp32: features of images, and CLIP's embeddings of images and texts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import CLIPModel, CLIPTokenizer, CLIPVisionModel, Dinov2Model

from scoft_hpc.config.schema import Scoring
from scoft_hpc.inputs.checkpoints import embedders
from scoft_hpc.models.network import load_network
from scoft_hpc.perceptual import images


class ImageEmbedder(nn.Module):
    """The class token of a vision transformer after its last layer norm: [N, D] of images [N, 3, H, W] in [-1, 1].

    Images are resized to `size` pixels, bicubic, and normalized.
    """

    def __init__(self, network: Any, size: int, normalize: images.Normalize) -> None:
        super().__init__()
        self.network, self.size, self.normalize = network, size, normalize

    def forward(self, x: Tensor) -> Tensor:
        x = self.normalize(images.resize(images.unit_range(x, clamp=True), self.size).clamp(0, 1))
        features: Tensor = self.network(pixel_values=x).pooler_output
        return features


def dino_embedder(folder: Path) -> ImageEmbedder:
    """DINOv2, whose authors compare whole images by this feature; `folder` has a Dinov2Model of transformers.

    Source: Oquab et al. 2023, DINOv2.
    """
    network = load_network(Dinov2Model, folder, dtype=torch.float32)
    return ImageEmbedder(network, images.SIZE, images.imagenet())


def toy_embedder(folder: Path) -> ImageEmbedder:
    """The toy world's CLIP before its projection, with which no run is trained; `folder` has a CLIPModel."""
    network = load_network(CLIPVisionModel, folder, dtype=torch.float32)
    return ImageEmbedder(network, network.config.image_size, images.openai_clip())


class ClipEmbedder(nn.Module):
    """CLIP's embeddings of images and of texts, in the space where they are compared.

    Images are resized to the network's own size, bicubic, and given CLIP's colours; texts are cut at its length.

    Args:
        folder: a CLIPModel and its tokenizer as transformers saves them.

    Source: Radford et al. 2021, CLIP.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.network = load_network(CLIPModel, folder, dtype=torch.float32)
        self.tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        self.normalize = images.openai_clip()

    def images(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] -> [N, D]."""
        size = self.network.config.vision_config.image_size
        x = self.normalize(images.resize(images.unit_range(x, clamp=True), size).clamp(0, 1))
        seen = self.network.vision_model(pixel_values=x).pooler_output
        projected: Tensor = self.network.visual_projection(seen)
        return projected

    def texts(self, texts: Sequence[str]) -> Tensor:
        """N texts -> [N, D]."""
        length = self.network.config.text_config.max_position_embeddings
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=length, return_tensors="pt"
        ).to(self.network.device)
        read = self.network.text_model(**tokens).pooler_output
        projected: Tensor = self.network.text_projection(read)
        return projected


def load_embedder(scoring: Scoring, device: torch.device) -> ImageEmbedder:
    """The network of `scoring.features` on the device.

    Raises:
        ConfigError: if it is missing or incomplete.
    """
    load = {"dino": dino_embedder, "toy": toy_embedder}[scoring.features]
    return load(embedders.folder_of("features", scoring)).to(device)


def load_clip(scoring: Scoring, device: torch.device) -> ClipEmbedder:
    """The network of `scoring.clip` on the device.

    Raises:
        ConfigError: if it is missing or incomplete.
    """
    return ClipEmbedder(embedders.folder_of("clip", scoring)).to(device)
