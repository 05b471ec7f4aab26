"""What a run's samples are worth: every metric that was asked for, into scores.json."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from scoft_hpc.config.schema import METRICS as NEEDS
from scoft_hpc.config.terms import imagines
from scoft_hpc.errors import RunError
from scoft_hpc.evaluation.evidence import Evidence, Judges, Pictures
from scoft_hpc.evaluation.generate import Subject, references_of
from scoft_hpc.evaluation.metrics.measure import Measure
from scoft_hpc.evaluation.metrics.registry import METRICS, Unit
from scoft_hpc.study import atomic

VERSION = 2
"""Of what scores.json holds."""

Row = dict[str, Any]


def score(subject: Subject, judges: Judges, keep: Collection[str] = ()) -> None:
    """Write the run's scores.json from its samples on disk.

    It holds each metric's value with its sample size, and, for the statistics, its values of single samples, prompts
    or neutral samples where it has them; and which networks judged. A metric that has nothing to go by is absent.

    Args:
        keep: the metrics that the run has already. None of them is lost: scores.json stays as it is if one that is
            asked for again can no longer be computed.

    Raises:
        ConfigError: if a network that judges is not there.
        RunError: if features cannot be compared, or a metric of `keep` can no longer be computed.
    """
    evidence = Evidence(subject, judges)
    found = {name: METRICS[name].take(evidence) for name in METRICS if name in judges.scoring.metrics}
    measures = {name: measure for name, measure in found.items() if measure is not None}
    if lost := [name for name in keep if name in found and found[name] is None]:
        raise RunError(_cannot_be_computed(subject, lost))
    if _trained_towards(subject, judges):
        measures = {name: _doubted(name, measure) for name, measure in measures.items()}
    content = {
        "version": VERSION,
        "run_id": subject.run.run_id,
        "networks": {network: asdict(judge) for network, judge in judges.named.items()},
        "metrics": {name: measure.record() for name, measure in measures.items()},
        **_rows(evidence, measures),
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


def _trained_towards(subject: Subject, judges: Judges) -> bool:
    """Whether the network whose features judge is the one that the run was trained to please."""
    objective, scoring = subject.config.objective, judges.scoring
    same = None not in (objective.distance_path, scoring.features_path) and (
        Path(str(objective.distance_path)).resolve() == Path(str(scoring.features_path)).resolve()
    )
    return same and imagines(subject.config.variant)


def _doubted(name: str, measure: Measure) -> Measure:
    if NEEDS[name] != "features":
        return measure
    doubt = (
        "Judged by the network that the run was trained towards; choose another with scoring.features_path."
    )
    return replace(measure, warning=" ".join(filter(None, (measure.warning, doubt))))


def _rows(evidence: Evidence, measures: dict[str, Measure]) -> dict[str, list[Row]]:
    """The metrics' values of single samples, prompts and neutral samples."""
    rows = {
        Unit.sample: _sample_rows(evidence.own),
        Unit.prompt: [{"prompt": text} for text in evidence.own.prompts[:: evidence.own.shape[1]]],
        Unit.neutral: _sample_rows(evidence.neutral) if evidence.neutral else [],
    }
    for name, measure in measures.items():
        unit = METRICS[name].unit
        if unit is not Unit.set and measure.each is not None:
            for row, value in zip(rows[unit], measure.each.tolist(), strict=True):
                row[name] = value
    return {unit.value: some for unit, some in rows.items()}


def _sample_rows(pictures: Pictures) -> list[Row]:
    return [
        {"file": f"{one.file.parent.name}/{one.file.name}", "prompt": one.prompt, "told": one.told}
        for one in pictures.samples
    ]
