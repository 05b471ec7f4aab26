"""L_P, the perceptual loss: the decoded picture must look like the culture's image, not only its latent."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

Distance = Callable[[Tensor, Tensor], Tensor]
"""S(x_hat [N, 3, H, W], x [N, K, 3, H, W]) -> [N, K], all images in [-1, 1]."""


def l_p(distance: Distance, x_hat: Tensor, positive: Tensor) -> Tensor:
    """L_P = S(x_hat, x+), a value a row; with S the VGG16 distance it is the objective's VGG term.

    Args:
        distance: the feature distance S.
        x_hat: decoded rollout [N, 3, H, W] in [-1, 1] (not clamped).
        positive: the culture's image x+, [N, 3, H, W] in [-1, 1].

    Returns:
        [N].

    Source: SCoFT section 3.3 (perceptual loss); train.py, `positive_loss` and `loss_lpips`.
    """
    return distance(x_hat, positive[:, None])[:, 0]
