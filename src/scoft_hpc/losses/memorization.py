"""L_M, the memorization loss: the caption must not say more than the image's own generic description does."""

from __future__ import annotations

from torch import Tensor

from scoft_hpc.losses.denoising import l_ldm


def l_m(pred: Tensor, pred_generic: Tensor) -> Tensor:
    """L_M = MSE(eps_theta(z_t, t, c), sg eps_theta(z_t, t, c_blip)), one value per row.

    Args:
        pred: prediction under the image's caption c [N, C, h, w].
        pred_generic: prediction of the same current network under the automatic caption c_blip [N, C, h, w];
            no gradient flows into it (sg).

    Returns:
        [N], in fp32.

    Source: SCoFT section 3.2 (memorization loss); train.py, `loss_mem`.
    """
    return l_ldm(pred, pred_generic.detach())
