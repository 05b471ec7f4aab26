"""From a row of the metric table to the function that computes the metric."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from scoft_hpc.config.metrics import MetricSpec
from scoft_hpc.evaluation.metrics.metric_value import MetricValue
from scoft_hpc.evaluation.scoring_inputs import ScoringInputs

Compute = Callable[[ScoringInputs], MetricValue | None]
"""A metric of a run's samples; None, not zero, where there is nothing to compute it from."""


def compute_function(spec: MetricSpec) -> Compute:
    """`compute_<name>` of the module that the row names."""
    module = import_module(f"scoft_hpc.evaluation.metrics.{spec.module}")
    function: Compute = getattr(module, f"compute_{spec.name}")
    return function
