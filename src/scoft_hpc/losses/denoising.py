"""L_LDM, the latent diffusion loss: keep drawing what the culture's images show."""

from __future__ import annotations

from torch import Tensor


def l_ldm(pred: Tensor, target: Tensor) -> Tensor:
    """L_LDM = MSE(eps_theta(z_t, t, c), target), a value a row.

    Args:
        pred: the U-Net's prediction [N, C, h, w].
        target: the noise eps, or the velocity for v-prediction [N, C, h, w].

    Returns:
        [N], in fp32.

    Source: Rombach et al. 2022, eq. 2; SCoFT train.py, `loss_ldm`.
    """
    return (pred.float() - target.float()).square().flatten(1).mean(1)
