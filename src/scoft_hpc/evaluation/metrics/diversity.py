"""Diversity: how different from each other are the samples of one prompt?

Fine-tuning on few images narrows what a model draws, and a metric that only asks whether samples are near to a
reference does not see it. Diversity alone is no merit either: noise is diverse. Read both together.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scoft_hpc.errors import RunError
from scoft_hpc.evaluation.metrics.metric_value import MetricValue, mean_of, unit_features
from scoft_hpc.evaluation.scoring_inputs import ScoringInputs


def compute_diversity(inputs: ScoringInputs) -> MetricValue | None:
    """`pairwise_distance` of the samples; None where a prompt has one sample."""
    if inputs.culture_samples.shape[1] < 2:
        return None
    return pairwise_distance(inputs.culture_samples.by_prompt(inputs.culture_samples.features))


def compute_vendi(inputs: ScoringInputs) -> MetricValue:
    """`vendi_score` of the samples."""
    return vendi_score(inputs.culture_samples.by_prompt(inputs.culture_samples.features))


def pairwise_distance(samples: Tensor) -> MetricValue:
    """The mean of 1 - cos over the pairs of samples of one prompt, one value per prompt and their mean; in [0, 2].

    It does not depend on how many samples a prompt has, and grows alike by one outlier or by many kinds.

    Args:
        samples: features [P, S, D] of S samples of P prompts, S at least 2.

    Raises:
        RunError: one sample a prompt, or features that are not finite.
    """
    x = _by_prompt("pairwise distance", samples, least=2)
    first, second = torch.triu_indices(x.shape[1], x.shape[1], offset=1)
    per_item = 1 - (x[:, first] * x[:, second]).sum(2).mean(1)
    return mean_of(per_item, n=x.shape[0] * x.shape[1])


def vendi_score(samples: Tensor) -> MetricValue:
    """The effective number of different images among S: exp(-Σ λ ln λ) over the eigenvalues λ of K/S, K_ij = cos.

    One value per prompt and their mean; 1 where all are alike, S where no two share a direction, k for k kinds,
    equally many of each. It cannot exceed S, so it compares only at one S, and at one network. Across prompts, which
    measures the prompts too, it is that of one prompt with all images: [1, N, D].

    Args:
        samples: features [P, S, D] of S samples of P prompts.

    Raises:
        RunError: no samples, or features that are not finite.

    Source: Friedman and Dieng 2023, The Vendi Score.
    """
    x = _by_prompt("Vendi score", samples, least=1)
    size, width = x.shape[1:]
    gram = x @ x.mT if size <= width else x.mT @ x  # their eigenvalues above 0 are the same
    eigenvalues = torch.linalg.eigvalsh(gram / size).clamp_min(0)
    per_item = torch.special.entr(eigenvalues).sum(1).exp()
    return mean_of(per_item, n=x.shape[0] * size)


def _by_prompt(metric: str, samples: Tensor, *, least: int) -> Tensor:
    """Features [P, S, D] at length 1."""
    if samples.dim() != 3 or len(samples) == 0 or samples.shape[1] < least:
        raise RunError(
            f"{metric}: samples have shape {list(samples.shape)}; expected [prompts, samples of each, features] with "
            f"at least {least} samples a prompt. Generate more (evaluation.samples), or leave this metric out."
        )
    (flat,) = unit_features(metric, samples=samples.flatten(0, 1))
    return flat.view(samples.shape)
