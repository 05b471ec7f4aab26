"""CLIPScore: does an image show what its prompt says?"""

from __future__ import annotations

from torch import Tensor

from scoft_hpc.evaluation.metrics.measure import Measure, as_directions, mean_of

WEIGHT = 2.5
PREFIX = "A photo depicts "
"""What the authors put before each text."""


def clip_score(images: Tensor, texts: Tensor) -> Measure:
    """2.5 max(cos(image, text), 0), a value an image and its mean.

    Higher is a better match. It says whether CLIP sees the subject. It does not see counts, relations or spelling well,
    and knows the images of the web: what a culture calls by a word that CLIP learned elsewhere may score low where a
    person would agree. Numbers compare only under one CLIP, and with `PREFIX` before all texts or before none; other
    suites report 100 max(cos, 0).

    Args:
        images: CLIP image embeddings [N, D] of any length.
        texts: CLIP text embeddings of the images' prompts, row by row, [N, D].

    Raises:
        RunError: unequal numbers, or embeddings that cannot be compared.

    Source: Hessel et al. 2021, CLIPScore; their code uses ViT-B/32 and `PREFIX`.
    """
    each = WEIGHT * _cosines(images, texts).clamp_min(0)
    return mean_of(each, n=len(each))


def clip_cosine(images: Tensor, texts: Tensor) -> Measure:
    """cos(image, text), a value an image and its mean: `clip_score` neither cut at 0 nor scaled. Arguments as there."""
    each = _cosines(images, texts)
    return mean_of(each, n=len(each))


def _cosines(images: Tensor, texts: Tensor) -> Tensor:
    a, b = as_directions("CLIPScore", same_size=True, images=images, texts=texts)
    return (a * b).sum(1)
