"""FID, the Fréchet inception distance, for comparison with published numbers; for small sets there is KID."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from scoft_hpc.evaluation.metrics.metric_value import MetricValue, as_features
from scoft_hpc.evaluation.scoring_inputs import ScoringInputs

MIN_RELIABLE_IMAGES = 2048
"""Images of each set below which a FID warns: fewer cannot even fill the covariance of Inception's 2048 features."""


def compute_fid(inputs: ScoringInputs) -> MetricValue | None:
    """FID of the samples and the culture's held-out images; None where either has fewer than 2."""
    if not inputs.can_compare_sets:
        return None
    return fid(inputs.culture_samples.features, inputs.features_of(inputs.held_out))


def fid(samples: Tensor, reference: Tensor) -> MetricValue:
    """|μ_x - μ_y|² + tr(Σ_x + Σ_y - 2 (Σ_x Σ_y)^½), the distance of two Gaussians with the sets' mean and covariance.

    Lower is nearer. It is too high for sets of any size, by an amount that depends on the size and on the model, so it
    can rank two models wrongly; it compares only at one size, one network and one way of resizing. Below 2048 images
    of either set the measure carries a warning that must be shown wherever the number is.

    With centred features X = Q R, Σ_x = R_xᵀ R_x / (N - 1), and tr (Σ_x Σ_y)^½ is the sum of the singular values of
    R_x R_yᵀ: no square root of a matrix is taken, so sets with fewer images than features come out exact.

    Args:
        samples: features [N, D], N at least 2.
        reference: features of the images to be near to, [M, D], M at least 2.

    Raises:
        RunError: too few images, or features that cannot be compared.

    Source: Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule; its bias: Chong and Forsyth 2020.
    """
    x, y = as_features("FID", min_images=2, samples=samples, reference=reference)
    root_x, root_y = _root(x), _root(y)
    shift = (x.mean(0) - y.mean(0)).square().sum()
    overlap = torch.linalg.svdvals(root_x @ root_y.T).sum()
    value = shift + root_x.square().sum() + root_y.square().sum() - 2 * overlap
    fewest = min(len(x), len(y))
    warning = None
    if fewest < MIN_RELIABLE_IMAGES:
        warning = (
            f"FID of {fewest} images is biased beyond use; it needs at least {MIN_RELIABLE_IMAGES} of each set. "
            "Read KID, which is unbiased, or generate more."
        )
    return MetricValue(float(value), len(x), len(y), warning=warning)


def _root(x: Tensor) -> Tensor:
    """R [min(N, D), D] with Rᵀ R the covariance of x [N, D]."""
    root: Tensor = torch.linalg.qr(x - x.mean(0), mode="r").R
    return root / sqrt(len(x) - 1)
