"""How far samples have moved from the base model's own images of the same prompts, drawn from the same noise.

What a base model draws for a prompt that names no culture is its bias made visible, so distance from it is bias
undone: larger is further away, and 0 is the base itself. It does not say where to: a broken model moves far. Read it
together with the distance to the culture's own images.
"""

from __future__ import annotations

from torch import Tensor

from scoft_hpc.evaluation.metrics.kid import cubic
from scoft_hpc.evaluation.metrics.measure import Measure, as_directions, as_features, mean_of
from scoft_hpc.evaluation.metrics.mmd import Kernel, paired_mmd2


def distance_from_base(samples: Tensor, base: Tensor) -> Measure:
    """1 - cos(sample, the base's image of its prompt and noise), a value an image and its mean; in [0, 2].

    Two images of one prompt and noise share a layout, so it is small, and sensitive: it sees each image move. A change
    of layout counts like a change of culture.

    Args:
        samples: features [N, D].
        base: of the base's images, row by row of the same prompt and noise, [N, D].

    Raises:
        RunError: unequal numbers, or features that cannot be compared.
    """
    x, y = as_directions("distance from the base", same_size=True, samples=samples, base=base)
    each = (1 - (x * y).sum(1)).clamp_min(0)  # rounding takes equal images below
    return mean_of(each, n=len(x), references=len(y))


def mmd_from_base(samples: Tensor, base: Tensor, kernel: Kernel = cubic) -> Measure:
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
    x, y = as_features("MMD from the base", least=2, same_size=True, samples=samples, base=base)
    return Measure(paired_mmd2(kernel, x, y), len(x), len(y))
