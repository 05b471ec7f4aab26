"""CLIPScore: does an image show what its prompt says?"""

from __future__ import annotations

from torch import Tensor

from scoft_hpc.evaluation.metrics.metric_value import MetricValue, mean_of, unit_features
from scoft_hpc.evaluation.scoring_inputs import ScoringInputs

WEIGHT = 2.5


def compute_clip_score(inputs: ScoringInputs) -> MetricValue:
    """CLIPScore of the samples and their prompts."""
    return clip_score(inputs.culture_samples.clip, inputs.culture_samples.clip_texts)


def compute_neutral_clip_score(inputs: ScoringInputs) -> MetricValue | None:
    """CLIPScore of the samples of neutral prompts; None where there are none."""
    neutral = inputs.neutral
    return None if neutral is None else clip_score(neutral.clip, neutral.clip_texts)


def clip_score(images: Tensor, texts: Tensor) -> MetricValue:
    """2.5 max(cos(image, text), 0), one value per image and their mean.

    Higher is a better match. It says whether CLIP sees the subject. It does not see counts, relations or spelling well,
    and knows the images of the web: what a culture calls by a word that CLIP learned elsewhere may score low where a
    person would agree. Numbers compare only under one CLIP, and with `CLIP_SCORE_PREFIX` before all texts or before
    none; other suites report 100 max(cos, 0).

    Args:
        images: CLIP image embeddings [N, D] of any length.
        texts: CLIP text embeddings of the images' prompts, row by row, [N, D].

    Raises:
        RunError: unequal numbers, or embeddings that cannot be compared.

    Source: Hessel et al. 2021, CLIPScore; their code uses ViT-B/32 and `CLIP_SCORE_PREFIX`.
    """
    a, b = unit_features("CLIPScore", same_size=True, images=images, texts=texts)
    per_item = WEIGHT * (a * b).sum(1).clamp_min(0)
    return mean_of(per_item, n=len(per_item))
