"""The samplers of negatives, by their source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from scoft_hpc.config.schema import Negatives, NegativeSource
from scoft_hpc.data.negatives.depth import Depth
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.sampler import sample


class NegativeSampler(Protocol):
    """Draws the images of the base model that take the place of a culture's images."""

    def __call__(self, x: Tensor, text: Conditioning, null: Conditioning, noise: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [-1, 1]; each row depends on its own arguments only.

        Args:
            x: the culture's images [N, 3, H, W] in [-1, 1].
            text: conditioning of their captions [N]; null: of the empty text [1].
            noise: starting noise [N, C, h, w].
        """


@dataclass(frozen=True)
class Txt2Img:
    """From the caption alone; our own way, the simplest."""

    base: DiffusionModel
    settings: Negatives

    def __call__(self, x: Tensor, text: Conditioning, null: Conditioning, noise: Tensor) -> Tensor:
        steps, guidance = self.settings.steps, self.settings.guidance
        return sample(self.base, text, null, noise, steps=steps, guidance=guidance)


@dataclass(frozen=True)
class Img2Img:
    """From the culture's image, noised `strength` of the way; our own way, needing no other network.

    At a strength near 1 the image's look is lost and the base's own takes its place, while the layout remains.
    """

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


SAMPLERS: dict[NegativeSource, Callable[[DiffusionModel, Negatives], NegativeSampler]] = {
    NegativeSource.txt2img: Txt2Img,
    NegativeSource.img2img: Img2Img,
    NegativeSource.depth: Depth,
}
