"""The toy world's truth: the styles and subjects that its scorer reads off the samples."""

from __future__ import annotations

from torch import Tensor

from scoft_hpc.evaluation.metrics.metric_value import MetricValue, mean_of
from scoft_hpc.evaluation.scoring_inputs import ScoringInputs
from scoft_hpc.inputs.toy.scenes import own_style

DEFAULT_STYLE = 0
"""The index of the style that the toy world's web, and so its base, falls back on."""


def compute_default_style(inputs: ScoringInputs) -> MetricValue | None:
    """The share of samples in the base's default style; None outside the toy world."""
    return _share(inputs.culture_samples.toy_labels.style == DEFAULT_STYLE) if inputs.toy else None


def compute_in_style(inputs: ScoringInputs) -> MetricValue | None:
    """The share of samples in the style of the run's culture; None outside the toy world."""
    if not inputs.toy:
        return None
    return _share(inputs.culture_samples.toy_labels.style == own_style(inputs.evaluated.config.culture))


def compute_subject(inputs: ScoringInputs) -> MetricValue | None:
    """The share of samples that show the subject of their prompt; None outside the toy world."""
    if not inputs.toy:
        return None
    labels = inputs.culture_samples.toy_labels.subject
    return _share(labels == inputs.culture_samples.subjects.to(labels.device))


def _share(matches: Tensor) -> MetricValue:
    return mean_of(matches.double(), n=len(matches))
