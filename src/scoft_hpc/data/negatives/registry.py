"""The samplers of negatives, by their source; each is a file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from scoft_hpc.config.schema import Negatives, NegativeSource
from scoft_hpc.data.negatives.depth import Depth
from scoft_hpc.data.negatives.img2img import Img2Img
from scoft_hpc.data.negatives.txt2img import Txt2Img
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DiffusionModel


class NegativeSampler(Protocol):
    """Draws the images of the base model that take the place of a culture's images."""

    def __call__(self, x: Tensor, text: Conditioning, null: Conditioning, noise: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [-1, 1]; each row depends on its own arguments only.

        Args:
            x: the culture's images [N, 3, H, W] in [-1, 1].
            text: conditioning of their captions [N]; null: of the empty text [1].
            noise: starting noise [N, C, h, w].
        """


SAMPLERS: dict[NegativeSource, Callable[[DiffusionModel, Negatives], NegativeSampler]] = {
    NegativeSource.txt2img: Txt2Img,
    NegativeSource.img2img: Img2Img,
    NegativeSource.depth: Depth,
}
