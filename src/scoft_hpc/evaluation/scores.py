"""Compute every metric of `scoring.metrics` of a run's samples and write scores.json."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from scoft_hpc.config.metrics import METRICS, MetricSpec
from scoft_hpc.config.terms import needs_rollout
from scoft_hpc.errors import RunError
from scoft_hpc.evaluation.generate import EvaluatedRun, references_of
from scoft_hpc.evaluation.metrics.metric_value import MetricValue
from scoft_hpc.evaluation.scoring_inputs import SampleSet, ScoringInputs, ScoringModels
from scoft_hpc.study import atomic

VERSION = 2
"""Of the format of scores.json."""

Row = dict[str, Any]
Compute = Callable[[ScoringInputs], MetricValue | None]
"""A metric of a run's samples; None, not zero, where there is nothing to compute it from."""


def compute_function(spec: MetricSpec) -> Compute:
    """`compute_<name>` of the module that the metric's row names."""
    function: Compute = getattr(
        import_module(f"scoft_hpc.evaluation.metrics.{spec.module}"), f"compute_{spec.name}"
    )
    return function


def score(evaluated: EvaluatedRun, models: ScoringModels, keep: Collection[str] = ()) -> None:
    """Write the run's scores.json from its samples on disk.

    It holds each metric's value and sample size; for the statistics, the values of single samples, prompts and neutral
    samples; and the networks. A metric that cannot be computed from the run's files is absent.

    Args:
        keep: the metrics that the run has already. None of them is lost: scores.json stays as it is if one of them
            that is to be computed again no longer can be.

    Raises:
        ConfigError: if a network is missing.
        RunError: if features cannot be compared, or a metric of `keep` can no longer be computed.
    """
    inputs = ScoringInputs(evaluated, models)
    computed = {
        name: compute_function(spec)(inputs)
        for name, spec in METRICS.items()
        if name in models.scoring.metrics
    }
    values = {name: value for name, value in computed.items() if value is not None}
    if lost := [name for name in keep if name in computed and computed[name] is None]:
        raise RunError(_cannot_be_computed(evaluated, lost))
    if _embedder_is_training_distance(evaluated, models):
        values = {name: _with_warning(name, value) for name, value in values.items()}
    content = {
        "version": VERSION,
        "run_id": evaluated.run.run_id,
        "networks": {name: asdict(network) for name, network in models.checkpoints.items()},
        "metrics": {name: value.record() for name, value in values.items()},
        **_rows(inputs, values),
    }
    atomic.write_json(evaluated.run.scores, content)


def _cannot_be_computed(evaluated: EvaluatedRun, metrics: Sequence[str]) -> str:
    cache = references_of(evaluated.config)
    cause = (
        "what they compare the samples with cannot be found"
        if evaluated.config.evaluation.images or cache.is_dir()
        else f"the base model's own images are not in {cache}"
    )
    return (
        f"{', '.join(metrics)} can no longer be computed, since {cause}. The scores stay as they are. Restore that "
        f"folder, or name the metrics to compute without these: 'scoring.metrics=[…]'."
    )


def _embedder_is_training_distance(evaluated: EvaluatedRun, models: ScoringModels) -> bool:
    """Whether the embedder is the network whose distance the run was trained with."""
    objective, scoring = evaluated.config.objective, models.scoring
    same = None not in (objective.distance_path, scoring.features_path) and (
        Path(str(objective.distance_path)).resolve() == Path(str(scoring.features_path)).resolve()
    )
    return same and needs_rollout(evaluated.config.variant)


def _with_warning(name: str, value: MetricValue) -> MetricValue:
    if METRICS[name].embedder != "features":
        return value
    warning = (
        "Scored by the network that the run was trained with; choose another with scoring.features_path."
    )
    return replace(value, warning=" ".join(filter(None, (value.warning, warning))))


def _rows(inputs: ScoringInputs, values: dict[str, MetricValue]) -> dict[str, list[Row]]:
    """The metrics' values of single samples, prompts and neutral samples."""
    rows = {
        "samples": _sample_rows(inputs.culture_samples),
        "prompts": [
            {"prompt": text} for text in inputs.culture_samples.prompts[:: inputs.culture_samples.shape[1]]
        ],
        "neutral": _sample_rows(inputs.neutral) if inputs.neutral else [],
    }
    for name, value in values.items():
        key = METRICS[name].rows_key
        if key is not None and value.per_item is not None:
            for row, number in zip(rows[key], value.per_item.tolist(), strict=True):
                row[name] = number
    return rows


def _sample_rows(sample_set: SampleSet) -> list[Row]:
    return [
        {
            "file": f"{sample.file.parent.name}/{sample.file.name}",
            "prompt": sample.prompt,
            "model_prompt": sample.model_prompt,
        }
        for sample in sample_set.samples
    ]
