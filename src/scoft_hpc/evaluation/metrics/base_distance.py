"""How far samples have moved from the base model's own images of the same prompts, drawn from the same noise.

What a base model draws for a prompt that names no culture is its bias made visible, so distance from it is bias
undone: larger is further away, and 0 is the base itself. It does not say where to: a broken model moves far. Read it
together with the distance to the culture's own images.
"""

from __future__ import annotations

from torch import Tensor

from scoft_hpc.evaluation.metrics.metric_value import MetricValue, mean_of, unit_features
from scoft_hpc.evaluation.scoring_inputs import ScoringInputs


def compute_base_distance(inputs: ScoringInputs) -> MetricValue | None:
    """`distance_from_base` of the samples; None where the base's images are missing."""
    base = inputs.culture_samples.base
    return None if base is None else distance_from_base(inputs.culture_samples.features, base)


def distance_from_base(samples: Tensor, base: Tensor) -> MetricValue:
    """1 - cos(sample, the base's image of its prompt and noise), one value per image and their mean; in [0, 2].

    Two images of one prompt and noise share a layout, so it is small, and sensitive: it sees each image move. A change
    of layout counts like a change of culture.

    Args:
        samples: features [N, D].
        base: of the base's images, row by row of the same prompt and noise, [N, D].

    Raises:
        RunError: unequal numbers, or features that cannot be compared.
    """
    x, y = unit_features("distance from the base", same_size=True, samples=samples, base=base)
    per_item = (1 - (x * y).sum(1)).clamp_min(0)  # rounding takes equal images below
    return mean_of(per_item, n=len(x), references=len(y))
