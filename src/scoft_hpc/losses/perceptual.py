"""L_P, the perceptual loss: the decoded image must look like the culture's image, not only its latent."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Distance(Protocol):
    """A feature distance S(x_hat, x), of images x_hat to what is kept of images x: their *targets*.

    Attributes:
        cacheable: whether targets are features, small enough to be kept on disk; if not they are the images themselves.
    """

    cacheable: bool

    def target(self, x: Tensor) -> Tensor:
        """The targets [N, *F] of images x [N, 3, H, W] in [-1, 1]; no gradient flows."""
        ...

    def __call__(self, x_hat: Tensor, target: Tensor, seeds: Tensor) -> Tensor:
        """S of x_hat [N, 3, H, W], about in [-1, 1], and targets [N, K, *F]: [N, K] in fp32.

        The gradient flows into x_hat only. `seeds` [N] are of each row's augmentations, where the distance has any.
        """
        ...


def l_p(distance: Distance, x_hat: Tensor, positive: Tensor, seeds: Tensor) -> Tensor:
    """L_P = S(x_hat, x+), one value per row; with S the VGG16 distance it is the objective's VGG term.

    Args:
        distance: the feature distance S.
        x_hat: decoded rollout [N, 3, H, W] in [-1, 1] (not clamped).
        positive: targets of the culture's images x+, [N, *F].
        seeds: of each row's augmentations [N].

    Returns:
        [N].

    Source: SCoFT section 3.3 (perceptual loss); train.py, `positive_loss` and `loss_lpips`.
    """
    return distance(x_hat, positive[:, None], seeds)[:, 0]
