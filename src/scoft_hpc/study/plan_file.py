"""What every command may ask of a study's folder, without loading Hydra: its plan, its logs, and who launches it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scoft_hpc.errors import LaunchError
from scoft_hpc.study.paths import StudyDir

VERSION = 1
"""Of plan.json."""


def read(study: StudyDir) -> dict[str, Any]:
    """The plan as plain data.

    Raises:
        LaunchError: if there is none, or not one that this version reads.
    """
    try:
        content = json.loads(study.plan.read_text())
        known = content["version"] == VERSION and all(study.run(run["run_id"]) for run in content["runs"])
    except FileNotFoundError:
        raise LaunchError(f"{study.path} holds no study: there is no plan.json in it.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LaunchError(
            f"{study.plan} cannot be read as a plan ({error}). It was left alone; choose another study=NAME."
        ) from None
    if not known:
        raise LaunchError(
            f"{study.plan} has version {content['version']}; this scoft-hpc reads version {VERSION}."
        )
    return dict(content)


def launch_claim(study: StudyDir) -> Path:
    """The claim of whoever sends the study's runs."""
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


def near(path: Path) -> str:
    """The path as a person in this folder would write it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
