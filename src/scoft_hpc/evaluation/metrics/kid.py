"""KID, the kernel inception distance: how far images are from reference images, unbiased for small sets."""

from __future__ import annotations

from math import sqrt

import torch
from torch import Tensor

from scoft_hpc.evaluation.metrics.metric_value import MetricValue, as_features
from scoft_hpc.evaluation.metrics.mmd import unbiased_mmd2
from scoft_hpc.evaluation.scoring_inputs import ScoringInputs

BLOCKS = 10


def compute_kid(inputs: ScoringInputs) -> MetricValue | None:
    """KID of the samples and the culture's held-out images; None where either has fewer than 2."""
    if not inputs.can_compare_sets:
        return None
    return kid(inputs.culture_samples.features, inputs.features_of(inputs.held_out))


def kid(samples: Tensor, reference: Tensor, *, blocks: int = BLOCKS) -> MetricValue:
    """The unbiased MMD² under the cubic kernel k(x, y) = (x·y/D + 1)³, with a standard error.

    It says whether the first three moments of the features differ; lower is nearer, 0 is the same distribution, and
    below 0 means no difference that this many images can show. It cannot say whether images are good one by one, nor
    that none is copied: a memorized set scores best. Numbers compare only under one feature network and one way of
    resizing; published ones use Inception-v3's 2048 pooled features and are often given times 1000.

    The value uses all images at once, which has the mean of the published average over 100 random subsets and less
    noise. Its error is that of the mean of disjoint blocks (`block_estimates`), an upper estimate: about right where
    the sets differ, and up to the root of the number of blocks too large where they do not. It takes images as
    independent, and is None where there are too few for two blocks.

    Args:
        samples: features [N, D], N at least 2.
        reference: features of the images to be near to, [M, D], M at least 2.
        blocks: how many for the error, at most.

    Raises:
        RunError: too few images, or features that cannot be compared.

    Source: Binkowski et al. 2018, Demystifying MMD GANs.
    """
    x, y = as_features("KID", min_images=2, samples=samples, reference=reference)
    estimates = block_estimates(x, y, blocks)
    error = float(estimates.std()) / sqrt(len(estimates)) if len(estimates) > 1 else None
    return MetricValue(unbiased_mmd2(cubic, x, y), len(x), len(y), error)


def block_estimates(x: Tensor, y: Tensor, blocks: int = BLOCKS) -> Tensor:
    """The unbiased MMD² of each of B disjoint blocks of x [N, D] and y [M, D], [B].

    B is `blocks`, or fewer so that each holds two images of both sets. Images are dealt out at random, from a fixed
    seed: as they come, a block would be of one prompt.
    """
    blocks = max(min(blocks, len(x) // 2, len(y) // 2), 1)
    dealt = zip(_deal(x, blocks), _deal(y, blocks), strict=True)
    return torch.tensor([unbiased_mmd2(cubic, a, b) for a, b in dealt], dtype=torch.float64)


def cubic(x: Tensor, y: Tensor) -> Tensor:
    """k(x, y) = (x·y/D + 1)³ of features [N, D] and [M, D], [N, M]."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def _deal(x: Tensor, blocks: int) -> tuple[Tensor, ...]:
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order.to(x.device)].tensor_split(blocks)
