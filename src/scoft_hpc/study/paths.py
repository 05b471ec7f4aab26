"""Every file name of a study and of a run, once: what the launcher and the jobs agree on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

RUN_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,120}")
STUDY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")


class _Folder(Protocol):
    @property
    def path(self) -> Path: ...


class _PathBelow:
    """A class attribute that is, of an instance, the path of this name below the instance's `path`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: _Folder, owner: type) -> Path:
        return folder.path / self.name


@dataclass(frozen=True)
class RunDir:
    """`<output>/<study>/runs/<run_id>/`."""

    path: Path

    config = _PathBelow("config.yaml")
    """The run's frozen settings; the job reads this and nothing else."""
    provenance = _PathBelow("provenance.json")
    """Code, versions, machine and data that the run was computed with, as JSON."""
    metrics = _PathBelow("metrics.jsonl")
    """One JSON object per training step."""
    checkpoints = _PathBelow("checkpoints")
    lora = _PathBelow("pytorch_lora_weights.safetensors")
    """The lane's adapter, as `load_lora_weights` of diffusers' pipelines reads it."""
    lora_kohya = _PathBelow("pytorch_lora_weights.kohya.safetensors")
    """The same with kohya's keys, for ComfyUI and A1111, where `lora.kohya` asks for it."""
    card = _PathBelow("README.md")
    """The adapter's model card, in the Hub's format."""
    samples = _PathBelow("samples")
    neutral = _PathBelow("neutral")
    """Samples of prompts that name no culture."""
    scores = _PathBelow("scores.json")
    result = _PathBelow("result.json")
    """Written last and renamed into place: it exists if and only if the run is done."""
    failure = _PathBelow("failure.json")
    """Why the last attempt failed; archived when a new attempt starts."""
    lease = _PathBelow("lease.json")
    """Which process works on the run now."""

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def ended(self) -> bool:
        """Whether the last attempt ended with a result or with a recorded failure."""
        return self.result.exists() or self.failure.exists()


@dataclass(frozen=True)
class SurveyDir:
    """`<output>/<study>/survey/`: raters' judgements of a study's samples."""

    path: Path

    file = _PathBelow("survey.yaml")
    """The questions, the raters and the analysis, written by a person."""
    pages = _PathBelow("pages.json")
    """The pages with the key to which system drew which image; never served."""
    images = _PathBelow("images")
    """The images as raters get them, under opaque names."""
    secret = _PathBelow("secret")
    """Signs links and forms; only its owner may read it."""
    database = _PathBelow("answers.db")
    """The answers, unless another database is configured."""
    exports = _PathBelow("exports")
    results = _PathBelow("results.json")
    """The analysis, which the study's report shows."""


@dataclass(frozen=True)
class StudyDir:
    """`<output>/<study>/`."""

    path: Path

    plan = _PathBelow("plan.json")
    runs = _PathBelow("runs")
    logs = _PathBelow("logs")
    """What the jobs printed."""
    jobs = _PathBelow("jobs")
    """What was submitted to Slurm, one folder per job array."""
    results = _PathBelow("results.csv")
    parquet = _PathBelow("results.parquet")
    """The same rows as `results`, with their types."""
    latex = _PathBelow("table.tex")
    """The headline table for a paper."""
    report = _PathBelow("report.html")
    markdown = _PathBelow("report.md")
    """The report's numbers for a repository or an issue."""
    wandb = _PathBelow("wandb")
    tensorboard = _PathBelow("tensorboard")
    """Event files, one folder per run."""

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def survey(self) -> SurveyDir:
        return SurveyDir(self.path / "survey")

    def sync_lease(self, run_id: str) -> Path:
        """The lease of the process that sends the run's curves to W&B or TensorBoard: one at a time."""
        return self.path / "sync" / f"{run_id}.json"

    def run(self, run_id: str) -> RunDir:
        """The run's directory. Raises ValueError for what is not a run id."""
        if not RUN_ID.fullmatch(run_id):
            raise ValueError(f"not a run id: {run_id!r}")
        return RunDir(self.runs / run_id)


def studies(output: Path) -> list[StudyDir]:
    """The studies below `output`, the one planned last first."""
    plans = list(output.glob("*/plan.json")) if output.is_dir() else []
    return [StudyDir(p.parent) for p in sorted(plans, key=lambda p: p.stat().st_mtime_ns, reverse=True)]
