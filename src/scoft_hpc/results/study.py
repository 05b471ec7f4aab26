"""A study as its files tell it now: the plan, and whatever each run has left on disk so far.

Nothing here waits, locks or writes. A run that has not started, failed, was killed in mid-write or runs at this
moment is read as far as it got.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.config.identity import drop_keys, unused
from scoft_hpc.config.plain import flat, science_fields
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.results import survey_results
from scoft_hpc.results.survey_results import SurveyResults
from scoft_hpc.study import costs, job_array, metrics_log, plan_file, run_status
from scoft_hpc.study.costs import Cost
from scoft_hpc.study.json_files import read_json
from scoft_hpc.study.paths import RunDir, StudyDir
from scoft_hpc.study.plan_file import PlanFile, PlannedRun
from scoft_hpc.study.run_status import Status

BASE = "base"
"""The variant that is not trained: what all others are measured against."""
MAX_POINTS = 40
"""Of a curve."""

Curve = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Steps and values."""


@dataclass(frozen=True)
class StudyRun:
    """A planned run and what its folder tells."""

    run_id: str
    culture: str
    variant: str
    seed: int
    config: Mapping[str, Any]
    stored_config: Mapping[str, Any]
    folder: RunDir
    status: Status
    result: dict[str, Any]
    scores: dict[str, Any]
    failure: dict[str, Any]
    provenance: dict[str, Any]

    @property
    def seconds(self) -> float | None:
        """Training, generating and scoring together; None until the run is done."""
        return run_status.work_seconds(self.result)

    @property
    def samples(self) -> list[dict[str, Any]]:
        """The scored samples, each with its `file` below the run's folder, in the order of their names."""
        return sorted(self.scores.get("samples", []), key=lambda sample: str(sample["file"]))

    def metric(self, name: str) -> float | None:
        entry = self.scores.get("metrics", {}).get(name)
        return None if entry is None else entry.get("value")

    def history(self) -> Iterator[metrics_log.Row]:
        """The journal's whole rows, one a training step, as they are read; none for a base."""
        return metrics_log.read(self.folder.metrics)

    def saved(self) -> list[metrics_log.Row]:
        """The rows that no interruption takes back: to the newest checkpoint; all of them once the run has ended."""
        if self.folder.ended:
            return list(self.history())
        last = run_status.saved_step(self.folder)
        return [row for row in self.history() if row[metrics_log.STEP] <= last] if last else []

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """The journal's numbers over the steps, thinned for drawing; empty for a base."""
        return _read_curves(self.history())


@dataclass(frozen=True)
class Study:
    """A plan and its runs, in the plan's order: by culture, variant and seed; `costs` by stage, if Slurm had it;
    `survey_results` is None without an analysed survey."""

    folder: StudyDir
    plan: PlanFile
    runs: tuple[StudyRun, ...]
    costs: dict[str, Cost]
    notes: tuple[str, ...]
    survey_results: SurveyResults | None = None

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def ablation(self) -> str:
        return self.plan.ablation

    @property
    def cultures(self) -> list[str]:
        return list(dict.fromkeys(run.culture for run in self.runs))

    @property
    def variants(self) -> list[str]:
        return list(dict.fromkeys(run.variant for run in self.runs))

    @property
    def seeds(self) -> list[int]:
        return sorted({run.seed for run in self.runs})

    @property
    def command(self) -> str:
        """The sweep command that planned it."""
        return " ".join(["python -m scoft_hpc.sweep", *map(shlex.quote, self.plan.overrides)])

    def count_done(self, variant: str | None = None) -> tuple[int, int]:
        """How many runs, of a variant or of all, are done, and how many there are."""
        runs = list(self.of(variant=variant))
        return sum(run.status is Status.done for run in runs), len(runs)

    def of(self, *, culture: str | None = None, variant: str | None = None) -> Iterator[StudyRun]:
        """The runs of a culture, of a variant, or of both."""
        for run in self.runs:
            if culture in (None, run.culture) and variant in (None, run.variant):
                yield run


def read(folder: StudyDir) -> Study:
    """The study as it is on disk.

    Raises:
        LaunchError: if there is no plan, or not one that this version can read. Anything amiss in a run becomes a
            note instead, and the run is read without it.
    """
    plan = plan_file.read(folder)
    notes: list[str] = []
    names = _arms(plan.runs)
    runs = tuple(
        _read_run(folder.run(planned.run_id), planned, names[planned.run_id], notes) for planned in plan.runs
    )
    arrays, faults = job_array.read_readable(folder)
    survey = survey_results.read(folder.survey, notes)
    return Study(folder, plan, runs, costs.by_stage(arrays), (*notes, *faults), survey)


def _arms(entries: Sequence[PlannedRun]) -> dict[str, str]:
    """What each run counts as a variant: its own name, with as many settings as tell runs of one name apart.

    An ablation of other settings than the loss terms has several runs a (culture, variant, seed), such as
    `mpc gradient=first` and `mpc gradient=last`. A run that stands for several combinations, as `ldm` does for those
    of another feature distance, is named by none of them.
    """
    names = {}
    for row in dict.fromkeys(map(_row, entries)):
        of_row = [entry for entry in entries if _row(entry) == row]
        settings = {entry.run_id: _telling(entry.config) for entry in of_row}
        chosen = _apart(of_row, settings)
        ends = [key.split(".")[-1] for key in chosen]
        for run, values in settings.items():
            parts = [
                f"{end if ends.count(end) == 1 else key}={'null' if values[key] is None else values[key]}"
                for key, end in zip(chosen, ends, strict=True)
                if key in values
            ]
            names[run] = " ".join([row, *parts])
    return names


def _row(entry: PlannedRun) -> str:
    """The variant by name, with another prompting than `asked`; of another generator `images of sdxl`."""
    evaluation = entry.config.get("evaluation", {})
    if images := evaluation.get("images"):
        return f"images of {Path(images).name}"
    prompting = evaluation.get("prompting", "asked")
    return entry.variant if prompting == "asked" else f"{entry.variant} {prompting}"


def _apart(entries: Sequence[PlannedRun], settings: dict[str, dict[str, Any]]) -> list[str]:
    """The first settings that together tell apart all runs of one (culture, seed), where any do."""

    def parts(keys: list[str]) -> int:
        groups = {
            (entry.culture, entry.seed, *(str(settings[entry.run_id].get(key)) for key in keys))
            for entry in entries
        }
        return len(groups)

    chosen: list[str] = []
    for key in dict.fromkeys(key for values in settings.values() for key in values):
        if parts(chosen) == len(entries):
            break
        if parts([*chosen, key]) > parts(chosen):
            chosen.append(key)
    return chosen


def _telling(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that a run depends on by their dotted names, those that a person would name it by first."""
    with contextlib.suppress(KeyError, TypeError):  # planned by another version
        config = drop_keys(config, unused(config))
    values = dict(flat(config))
    science_of_today = dict(flat(science_fields(RunConfig())))
    named_first = [key for key in values if key in science_of_today and key.split(".")[-1] != "digest"]
    return {key: values[key] for key in [*named_first, *values]}


def _read_run(folder: RunDir, planned: PlannedRun, variant: str, notes: list[str]) -> StudyRun:
    return StudyRun(
        run_id=planned.run_id,
        culture=planned.culture,
        variant=variant,
        seed=planned.seed,
        config=planned.config,
        stored_config=planned.stored,
        folder=folder,
        status=run_status.status(folder),
        result=read_json(folder.result, notes),
        scores=read_json(folder.scores, notes),
        failure=read_json(folder.failure, notes),
        provenance=read_json(folder.provenance, notes),
    )


def _read_curves(rows: Iterable[metrics_log.Row]) -> dict[str, Curve]:
    """Each number of the journal over the steps, averaged in at most `MAX_POINTS` equal spans.

    Steps without the number, as of a term that is not computed every time, are passed over.
    """
    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for name, value in row.items():
            if name != metrics_log.STEP and isinstance(value, int | float):
                points.setdefault(name, []).append((row[metrics_log.STEP], value))
    return {name: _thin(np.array(of_name, dtype=float)) for name, of_name in points.items()}


def _thin(points: NDArray[np.float64]) -> Curve:
    x, y = points.T
    span = np.minimum((x - x[0]) / max(1.0, x[-1] - x[0]) * MAX_POINTS, MAX_POINTS - 1).astype(int)
    count = np.bincount(span)
    filled = count > 0
    return np.bincount(span, x)[filled] / count[filled], np.bincount(span, y)[filled] / count[filled]
