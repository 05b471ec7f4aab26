"""L_P, the perceptual loss: the decoded picture must look like the culture's image, not only its latent."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Distance(Protocol):
    """A feature distance S(x_hat, x).

    Attributes:
        compact: whether `target` is features, small enough to be kept on disk; if not it is the image itself.
    """

    compact: bool

    def target(self, x: Tensor) -> Tensor:
        """What is kept of images x [N, 3, H, W] in [-1, 1] that pictures are compared to: [N, *F], no gradient."""
        ...

    def __call__(self, x_hat: Tensor, target: Tensor, seeds: Tensor) -> Tensor:
        """S of x_hat [N, 3, H, W] in [-1, 1] (not clamped) and targets [N, K, *F]: [N, K] in fp32.

        The gradient flows into x_hat only. seeds [N] are of each row's augmentations, where the distance has any.
        """
        ...


def l_p(s_positive: Tensor) -> Tensor:
    """L_P = S(x_hat, x+), a value a row; with S the VGG16 distance it is the objective's VGG term.

    Args:
        s_positive: [N].

    Source: SCoFT section 3.3 (perceptual loss); train.py, `positive_loss` and `loss_lpips`.
    """
    return s_positive
