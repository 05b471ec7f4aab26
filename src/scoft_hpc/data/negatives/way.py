"""What every way of drawing negatives is: images of a culture in, what the base model draws in their place out."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Way(Protocol):
    def __call__(self, x: Tensor, text: Tensor, null: Tensor, noise: Tensor) -> Tensor:
        """Images [N, 3, H, W] in [-1, 1]; a row's depends on its own arguments only.

        Args:
            x: the culture's images [N, 3, H, W] in [-1, 1].
            text: states of their captions [N, T, D]; null: of the empty text [1, T, D].
            noise: to start from [N, C, h, w].
        """
