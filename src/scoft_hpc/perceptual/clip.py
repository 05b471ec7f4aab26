"""The distance `clip`: CLIP's tokens, over views of the two images with the same parameters."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPVisionModel

from scoft_hpc.models.network import load_network
from scoft_hpc.perceptual import augmentations, images
from scoft_hpc.perceptual.distance import ImageDistance, as_parameters

AUGMENTED = 10
"""Views beside the clean one."""


class ClipDistance(ImageDistance):
    """mean(1 - cosine over the channels) of the last block's tokens (block 11, counted from 0) over 11 views.

    The views are the clean image, resized to 224 pixels, and ten random ones (`augmentations.py`), the same for x_hat
    and all its targets. Images are clamped to [-1, 1] and given CLIP's colours.

    The authors' code takes its cosine over the axis that holds channels in CLIP's convolutional networks; in ViT-B/32,
    which it loads, that axis holds the tokens. Here it is the channels [ours].

    Args:
        folder: a CLIPVisionModel or a whole CLIPModel as transformers saves it; the authors' is ViT-B/32.

    Source: SCoFT utilities/clipconv_loss.py, after CLIPasso (Vinker et al. 2022).
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.network = load_network(CLIPVisionModel, folder, use_safetensors=None, dtype=torch.float32)
        self.normalize = images.openai_clip()

    def forward(self, x_hat: Tensor, target: Tensor, seeds: Tensor) -> Tensor:
        """x_hat [N, 3, H, W] and images [N, K, 3, H, W] in [-1, 1], seeds [N] of the views -> S [N, K]."""
        params = augmentations.sample_params(seeds, AUGMENTED, *x_hat.shape[-2:]).to(x_hat.device)
        tokens_x_hat = self._tokens(as_parameters(self, x_hat)[:, None], params)
        with torch.no_grad():
            tokens_target = self._tokens(as_parameters(self, target), params)
        cosine = torch.nn.functional.cosine_similarity(tokens_x_hat, tokens_target, dim=-1)
        return (1 - cosine).flatten(2).mean(2)

    def _tokens(self, x: Tensor, params: augmentations.ViewParams) -> Tensor:
        """Images [N, M, 3, H, W] -> tokens [N, M, 11, T, D]; a row's images share its views."""
        n, m = x.shape[:2]
        x = images.unit_range(x, clamp=True)
        clean = images.resize(x.flatten(0, 1)).unflatten(0, (n, m))
        views = torch.cat([clean[:, :, None], augmentations.apply(x, params)], 2)
        tokens: Tensor = self.network(pixel_values=self.normalize(views.flatten(0, 2))).last_hidden_state
        return tokens.view(n, m, 1 + AUGMENTED, *tokens.shape[1:])
