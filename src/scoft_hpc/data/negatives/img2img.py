"""Negatives that start from the culture's image, noised `strength` of the way; our own way, needing no other network.

At a strength near 1 the image's look is lost and the base's own takes its place, while the layout remains.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scoft_hpc.config.schema import Negatives
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.sampler import sample


@dataclass(frozen=True)
class Img2Img:
    base: DiffusionModel
    settings: Negatives

    def __call__(self, x: Tensor, text: Conditioning, null: Conditioning, noise: Tensor) -> Tensor:
        return sample(
            self.base,
            text,
            null,
            noise,
            steps=self.settings.steps,
            guidance=self.settings.guidance,
            start=self.base.encode_images(x)[:, 0],
            strength=self.settings.strength,
        )
