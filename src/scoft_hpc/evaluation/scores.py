"""What a run's samples are worth: every metric that was asked for, into scores.json."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scoft_hpc.config.metrics import METRICS
from scoft_hpc.config.terms import needs_rollout
from scoft_hpc.errors import RunError
from scoft_hpc.evaluation.generate import Subject, references_of
from scoft_hpc.evaluation.metrics.metric_value import MetricValue
from scoft_hpc.evaluation.metrics.registry import compute_function
from scoft_hpc.evaluation.scoring_inputs import SampleSet, ScoringInputs, ScoringModels
from scoft_hpc.study import atomic

VERSION = 2
"""Of what scores.json holds."""

Row = dict[str, Any]


def score(subject: Subject, judges: ScoringModels, keep: Collection[str] = ()) -> None:
    """Write the run's scores.json from its samples on disk.

    It holds each metric's value and sample size; for the statistics, the values of single samples, prompts and neutral
    samples; and the networks that judged. A metric that cannot be computed from what the run has is absent.

    Args:
        keep: the metrics that the run has already. None of them is lost: scores.json stays as it is if one that is
            asked for again can no longer be computed.

    Raises:
        ConfigError: if a network that judges is not there.
        RunError: if features cannot be compared, or a metric of `keep` can no longer be computed.
    """
    evidence = ScoringInputs(subject, judges)
    computed = {
        name: compute_function(spec)(evidence)
        for name, spec in METRICS.items()
        if name in judges.scoring.metrics
    }
    values = {name: value for name, value in computed.items() if value is not None}
    if lost := [name for name in keep if name in computed and computed[name] is None]:
        raise RunError(_cannot_be_computed(subject, lost))
    if _trained_towards(subject, judges):
        values = {name: _with_doubt(name, value) for name, value in values.items()}
    content = {
        "version": VERSION,
        "run_id": subject.run.run_id,
        "networks": {network: asdict(judge) for network, judge in judges.named.items()},
        "metrics": {name: value.record() for name, value in values.items()},
        **_rows(evidence, values),
    }
    atomic.write_json(subject.run.scores, content)


def _cannot_be_computed(subject: Subject, metrics: Sequence[str]) -> str:
    cache = references_of(subject.config)
    cause = (
        "what they compare the samples with cannot be found"
        if subject.config.evaluation.images or cache.is_dir()
        else f"the base model's own images are not in {cache}"
    )
    return (
        f"{', '.join(metrics)} can no longer be computed, since {cause}. The scores stay as they are. Restore that "
        f"folder, or name the metrics to compute without these: 'scoring.metrics=[…]'."
    )


def _trained_towards(subject: Subject, judges: ScoringModels) -> bool:
    """Whether the network whose features judge is the one that the run was trained to please."""
    objective, scoring = subject.config.objective, judges.scoring
    same = None not in (objective.distance_path, scoring.features_path) and (
        Path(str(objective.distance_path)).resolve() == Path(str(scoring.features_path)).resolve()
    )
    return same and needs_rollout(subject.config.variant)


def _with_doubt(name: str, value: MetricValue) -> MetricValue:
    if METRICS[name].embedder != "features":
        return value
    doubt = (
        "Judged by the network that the run was trained towards; choose another with scoring.features_path."
    )
    return replace(value, warning=" ".join(filter(None, (value.warning, doubt))))


def _rows(evidence: ScoringInputs, values: dict[str, MetricValue]) -> dict[str, list[Row]]:
    """The metrics' values of single samples, prompts and neutral samples."""
    rows = {
        "samples": _sample_rows(evidence.own),
        "prompts": [{"prompt": text} for text in evidence.own.prompts[:: evidence.own.shape[1]]],
        "neutral": _sample_rows(evidence.neutral) if evidence.neutral else [],
    }
    for name, value in values.items():
        key = METRICS[name].rows_key
        if key is not None and value.per_item is not None:
            for row, number in zip(rows[key], value.per_item.tolist(), strict=True):
                row[name] = number
    return rows


def _sample_rows(pictures: SampleSet) -> list[Row]:
    return [
        {"file": f"{one.file.parent.name}/{one.file.name}", "prompt": one.prompt, "told": one.told}
        for one in pictures.samples
    ]
