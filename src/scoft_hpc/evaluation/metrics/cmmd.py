"""CMMD: the MMD of CLIP embeddings under a Gaussian kernel."""

from __future__ import annotations

import torch
from torch import Tensor

from scoft_hpc.evaluation.metrics.metric_value import MetricValue, unit_features
from scoft_hpc.evaluation.metrics.mmd import biased_mmd2, unbiased_mmd2
from scoft_hpc.evaluation.scoring_inputs import ScoringInputs

SIGMA = 10.0
SCALE = 1000.0


def compute_cmmd(inputs: ScoringInputs) -> MetricValue | None:
    """CMMD of the samples and the culture's held-out images; None where either has fewer than 2."""
    if not inputs.can_compare_sets:
        return None
    return cmmd(inputs.culture_samples.clip, inputs.clip_of(inputs.held_out))


def cmmd(samples: Tensor, reference: Tensor, *, biased: bool = False) -> MetricValue:
    """1000 MMD² of unit CLIP embeddings under k(x, y) = exp(-|x - y|² / (2 σ²)), σ = 10.

    Lower is nearer. The unbiased estimate is right on average for sets of any size and may fall below 0; the biased one
    is the authors', made for sets of tens of thousands, and too high by about 10 (1 - |mean|²) / N for each set, with
    the mean of its unit embeddings: 0.1 for 50 images with |mean|² = ½.

    Unit embeddings are at most 2 apart, so the kernel is nearly linear there: CMMD is about 10 times the squared
    distance of the two mean embeddings. It says whether the sets differ in what they show on average, and next to
    nothing of their spread: samples that all look the same can score well. Published numbers use ViT-L/14 at 336
    pixels.

    Args:
        samples: CLIP image embeddings [N, D] of any length, N at least 2.
        reference: those of the images to be near to, [M, D], M at least 2.
        biased: the V-statistic of the published code in place of the unbiased U-statistic.

    Raises:
        RunError: too few images, or embeddings that cannot be compared.

    Source: Jayasumana et al. 2024, Rethinking FID; google-research `cmmd/distance.py`.
    """
    x, y = unit_features("CMMD", min_images=2, samples=samples, reference=reference)
    mmd2 = biased_mmd2 if biased else unbiased_mmd2
    return MetricValue(SCALE * mmd2(gaussian, x, y), len(x), len(y))


def gaussian(x: Tensor, y: Tensor) -> Tensor:
    """k(x, y) = exp(-|x - y|² / (2 σ²)) of features [N, D] and [M, D], [N, M]."""
    squared = x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T
    return torch.exp(-squared.clamp_min(0) / (2 * SIGMA**2))
