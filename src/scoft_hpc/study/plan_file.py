"""A study's plan, its logs and who launches it: what every command reads of a study's folder, without Hydra."""

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
        config: its whole config as plain data, with the paths of where the study lies now.
        stored: the same as plan.json has it, which does not change when the study is moved.
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
        created: date and time in ISO 8601. words: the sweep command's words.
    """

    study: str
    ablation: str
    created: str
    words: tuple[str, ...]
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
            words=tuple(map(str, content.get("words", ()))),
            runs=tuple(_planned_run(entry, output) for entry in entries),
        )
    except FileNotFoundError:
        raise LaunchError(
            f"{study.path} holds no study: there is no plan.json in it. `scoft-hpc sweep` plans and runs one."
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
    """The lease of whoever sends the study's runs."""
    return study.path / "launch.json"


def log_of(study: StudyDir, run_id: str) -> Path | None:
    """What the last job that was sent for the run printed; a log's first line names its runs."""
    for path in sorted(study.logs.glob("*.log"), key=log_number, reverse=True):
        with path.open(errors="replace") as file:
            if run_id in file.readline():
                return path
    return None


def log_number(log: Path) -> int:
    """Logs are numbered in the order in which jobs were sent."""
    number = log.stem.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


def display_path(path: Path) -> str:
    """The path as a person in this folder would write it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
