"""L_LDM, the latent diffusion loss: keep drawing what the culture's images show."""

from __future__ import annotations

from torch import Tensor


def l_ldm(pred: Tensor, target: Tensor) -> Tensor:
    """L_LDM = MSE(eps_theta(z_t, t, c), target), one value per row.

    Args:
        pred: the network's prediction [N, C, h, w].
        target: what it should be by the noise process: eps, or a velocity [N, C, h, w].

    Returns:
        [N], in fp32.

    Source: Rombach et al. 2022, eq. 2; SCoFT train.py, `loss_ldm`.
    """
    return (pred.float() - target.float()).square().flatten(1).mean(1)
