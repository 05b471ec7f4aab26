"""What every way of drawing negatives is: images of a culture in, what the base model draws in their place out."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from scoft_hpc.models.conditioning import Conditioning


class Way(Protocol):
    def __call__(self, x: Tensor, text: Conditioning, null: Conditioning, noise: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [-1, 1]; a row's depends on its own arguments only.

        Args:
            x: the culture's images [N, 3, H, W] in [-1, 1].
            text: of their captions [N]; null: of the empty text [1].
            noise: to start from [N, C, h, w].
        """
