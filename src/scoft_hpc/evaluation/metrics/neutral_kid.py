"""Neutral KID: how far fine-tuning has moved images of prompts that name no culture, as a set."""

from __future__ import annotations

from torch import Tensor

from scoft_hpc.evaluation.metrics.kid import cubic
from scoft_hpc.evaluation.metrics.metric_value import MetricValue, as_features
from scoft_hpc.evaluation.metrics.mmd import Kernel, paired_mmd2
from scoft_hpc.evaluation.scoring_inputs import MIN_SET_SIZE, ScoringInputs


def compute_neutral_kid(inputs: ScoringInputs) -> MetricValue | None:
    """`mmd_from_base` of the samples of neutral prompts; None where fewer than 2 have the base's image."""
    neutral = inputs.neutral
    if neutral is None or neutral.base is None or len(neutral.base) < MIN_SET_SIZE:
        return None
    return mmd_from_base(neutral.features, neutral.base)


def mmd_from_base(samples: Tensor, base: Tensor, kernel: Kernel = cubic) -> MetricValue:
    """The unbiased MMD² between the samples and the base's images, as sets; KID's kernel unless another is given.

    It asks whether the two models draw different things, not whether an image moved: samples that swap places among
    themselves leave it near 0. The pairs share prompt and noise, so a pair's own kernel value is left out
    (`paired_mmd2`); samples that are the base's give 0.

    Args:
        samples: features [N, D], N at least 2.
        base: of the base's images, row by row of the same prompt and noise, [N, D].
        kernel: of fp64 features [N, D] and [M, D], [N, M].

    Raises:
        RunError: unequal numbers, fewer than 2 images, or features that cannot be compared.
    """
    x, y = as_features("MMD from the base", min_images=2, same_size=True, samples=samples, base=base)
    return MetricValue(paired_mmd2(kernel, x, y), len(x), len(y))
