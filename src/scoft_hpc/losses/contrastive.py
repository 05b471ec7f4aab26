"""L_C, the self-contrastive perceptual loss: towards the culture's image, away from what the base would draw."""

from __future__ import annotations

import torch
from torch import Tensor

from scoft_hpc.losses.perceptual import Distance


def similarities(
    distance: Distance, x_hat: Tensor, positive: Tensor, negatives: Tensor, seeds: Tensor
) -> tuple[Tensor, Tensor]:
    """S(x_hat, x+) [N] and S(x_hat, x-_k) [N, K] in one call, so that x_hat's features are taken once.

    Args:
        x_hat: decoded rollout [N, 3, H, W] in [-1, 1].
        positive: targets of the culture's images x+ [N, *F].
        negatives: targets of images of the un-fine-tuned model x-, [N, K, *F].
        seeds: of each row's augmentations [N].
    """
    s = distance(x_hat, torch.cat([positive[:, None], negatives], 1), seeds)
    return s[:, 0], s[:, 1:]


def l_c_official(s_positive: Tensor, s_negative: Tensor, negative_mask: Tensor) -> Tensor:
    """L_C = S(x_hat, x+) - mean_k S(x_hat, x-_k), one value per row.

    Args:
        s_positive: [N].
        s_negative: [N, K].
        negative_mask: [N, K] bool, which negatives there are; every row has at least one.

    Returns:
        [N]; it may be below 0.

    Source: SCoFT train.py, `loss_contrastive`.
    """
    return s_positive - _mean(s_negative, negative_mask)


def l_c_triplet(
    s_positive: Tensor, s_negative: Tensor, negative_mask: Tensor, *, lam: float, margin: float
) -> Tensor:
    """L_C = max(S(x_hat, x+) - lambda mean_k S(x_hat, x-_k) + m, 0), one value per row.

    Shapes as in `l_c_official`. The published code has no hinge: lambda and m are our own settings.

    Source: the triplet form in which SCoFT's summaries state the loss.
    """
    return (s_positive - lam * _mean(s_negative, negative_mask) + margin).clamp_min(0)


def _mean(s: Tensor, negative_mask: Tensor) -> Tensor:
    return (s * negative_mask).sum(1) / negative_mask.sum(1)
