"""A study's plan, logs and launch lease, read without Hydra."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoft_hpc.errors import LaunchError
from scoft_hpc.study.json_files import read_json
from scoft_hpc.study.paths import RUN_ID, StudyDir
from scoft_hpc.study.stored_config import located

VERSION = 1
"""Of plan.json."""


@dataclass(frozen=True)
class PlannedRun:
    """A run as plan.json has it.

    Attributes:
        steps: training updates that it will make; 0 for a base.
        config: its whole config as plain data, with the paths of the study's present location.
        stored: the same as plan.json has it, unchanged when the study is moved.
    """

    run_id: str
    culture: str
    variant: str
    seed: int
    steps: int
    config: Mapping[str, Any]
    stored: Mapping[str, Any]


@dataclass(frozen=True)
class PlanFile:
    """What plan.json holds.

    Attributes:
        study: the study's name when it was planned; its folder may have been renamed since.
        created: date and time in ISO 8601. overrides: of the sweep command.
    """

    study: str
    ablation: str
    created: str
    overrides: tuple[str, ...]
    runs: tuple[PlannedRun, ...]


def read(study: StudyDir) -> PlanFile:
    """The study's plan.

    Raises:
        LaunchError: if there is none, or not one that this version reads.
    """
    try:
        content = json.loads(study.plan.read_text(encoding="utf-8"))
        version = content["version"]
        output = study.path.absolute().parent
        entries = content["runs"] if version == VERSION else ()
        plan = PlanFile(
            study=str(content.get("study", study.name)),
            ablation=str(content.get("ablation", "")),
            created=str(content.get("created", "")),
            overrides=tuple(map(str, content.get("words", ()))),
            runs=tuple(_planned_run(entry, output) for entry in entries),
        )
    except FileNotFoundError:
        raise LaunchError(
            f"{study.path} is not a study: it has no plan.json. `scoft-hpc sweep` plans and runs one."
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LaunchError(
            f"{study.plan} cannot be read as a plan ({error!r}). It was left alone; use the scoft-hpc that wrote it, "
            f"or plan another study=NAME."
        ) from None
    if version != VERSION:
        raise LaunchError(
            f"{study.plan} has version {version!r}; this scoft-hpc reads version {VERSION}. Use the one that wrote it."
        )
    return plan


def is_called(study: StudyDir, name: str) -> bool:
    """Whether the study has this name, or had it when it was planned: its folder may have been renamed."""
    return name in (study.name, read_json(study.plan).get("study"))


def _planned_run(entry: dict[str, Any], output: Path) -> PlannedRun:
    """Raises KeyError, TypeError or ValueError for an entry of another shape."""
    if not RUN_ID.fullmatch(entry["run_id"]):
        raise ValueError(f"not a run id: {entry['run_id']!r}")
    run = PlannedRun(
        run_id=entry["run_id"],
        culture=entry["culture"],
        variant=entry["variant"],
        seed=int(entry["seed"]),
        steps=int(entry["steps"]),
        config=located(entry["config"], output),
        stored=entry["config"],
    )
    if not (isinstance(run.culture, str) and isinstance(run.variant, str) and isinstance(run.config, dict)):
        raise TypeError(f"not a planned run: {run.run_id}")
    return run


def launch_lease(study: StudyDir) -> Path:
    """The lease of the process that submits the study's runs."""
    return study.path / "launch.json"


def log_of(study: StudyDir, run_id: str) -> Path | None:
    """The log of the last job that was submitted for the run; a log's first line names its runs."""
    for path in sorted(study.logs.glob("*.log"), key=log_number, reverse=True):
        with path.open(errors="replace") as file:
            if run_id in file.readline():
                return path
    return None


def log_number(log: Path) -> int:
    """The number of a log: they count the submitted jobs."""
    number = log.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def display_path(path: Path) -> str:
    """The path relative to the current folder, if it is below it."""
    current = Path.cwd()
    return str(path.relative_to(current)) if path.is_relative_to(current) else str(path)
