"""Every file name of a study and of a run, once. The folder is the contract between the two wings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

RUN_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,120}")
STUDY = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}")


@dataclass(frozen=True)
class RunDir:
    """`<output>/<study>/runs/<run_id>/`."""

    path: Path

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def config(self) -> Path:
        """The run's frozen settings; the job reads this and nothing else."""
        return self.path / "config.yaml"

    @property
    def provenance(self) -> Path:
        """Code, versions, machine and data that made the run, as JSON."""
        return self.path / "provenance.json"

    @property
    def metrics(self) -> Path:
        """One JSON object a training step."""
        return self.path / "metrics.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def lora(self) -> Path:
        """The lane's adapter, as `load_lora_weights` of diffusers' pipelines reads it."""
        return self.path / "pytorch_lora_weights.safetensors"

    @property
    def lora_kohya(self) -> Path:
        """The same with kohya's keys, for ComfyUI and A1111, where `lora.kohya` asks for it."""
        return self.path / "pytorch_lora_weights.kohya.safetensors"

    @property
    def card(self) -> Path:
        """The adapter's model card, in the hub's form."""
        return self.path / "README.md"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    @property
    def neutral(self) -> Path:
        """Samples of prompts that name no culture."""
        return self.path / "neutral"

    @property
    def scores(self) -> Path:
        return self.path / "scores.json"

    @property
    def result(self) -> Path:
        """Written last and renamed into place: it exists if and only if the run is done."""
        return self.path / "result.json"

    @property
    def failure(self) -> Path:
        """Why the last attempt failed; set aside when a new attempt starts."""
        return self.path / "failure.json"

    @property
    def ended(self) -> bool:
        """Whether its last attempt came to a result or to a reason why there is none."""
        return self.result.exists() or self.failure.exists()

    @property
    def lease(self) -> Path:
        """Who works on the run now."""
        return self.path / "lease.json"


@dataclass(frozen=True)
class SurveyDir:
    """`<output>/<study>/survey/`: people's judgements of a study's samples."""

    path: Path

    @property
    def file(self) -> Path:
        """What is asked of whom and how it will be analysed, written by a person."""
        return self.path / "survey.yaml"

    @property
    def pages(self) -> Path:
        """The pages with the key to which system drew which image; never served."""
        return self.path / "pages.json"

    @property
    def images(self) -> Path:
        """The images as raters get them, under opaque names."""
        return self.path / "images"

    @property
    def secret(self) -> Path:
        """Signs links and forms; only its owner may read it."""
        return self.path / "secret"

    @property
    def database(self) -> Path:
        """The answers, where no other database is named."""
        return self.path / "answers.db"

    @property
    def exports(self) -> Path:
        return self.path / "exports"

    @property
    def results(self) -> Path:
        """What the analysis found; the study's report shows it."""
        return self.path / "results.json"


@dataclass(frozen=True)
class StudyDir:
    """`<output>/<study>/`."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def runs(self) -> Path:
        return self.path / "runs"

    @property
    def logs(self) -> Path:
        """What the jobs printed."""
        return self.path / "logs"

    @property
    def jobs(self) -> Path:
        """What was sent to Slurm, a folder a batch."""
        return self.path / "jobs"

    @property
    def results(self) -> Path:
        return self.path / "results.csv"

    @property
    def parquet(self) -> Path:
        """The same rows as `results`, with their types."""
        return self.path / "results.parquet"

    @property
    def latex(self) -> Path:
        """The headline table for a paper."""
        return self.path / "table.tex"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def markdown(self) -> Path:
        """The report's numbers for a repository or an issue."""
        return self.path / "report.md"

    @property
    def wandb(self) -> Path:
        return self.path / "wandb"

    @property
    def tensorboard(self) -> Path:
        """Event files, a folder a run."""
        return self.path / "tensorboard"

    @property
    def survey(self) -> SurveyDir:
        return SurveyDir(self.path / "survey")

    def sync_lease(self, run_id: str) -> Path:
        """The lease of whoever sends the run's curves to W&B or TensorBoard: one at a time."""
        return self.path / "sending" / f"{run_id}.json"

    def run(self, run_id: str) -> RunDir:
        if not RUN_ID.fullmatch(run_id):
            raise ValueError(f"not a run id: {run_id!r}")
        return RunDir(self.runs / run_id)


def studies(output: Path) -> list[StudyDir]:
    """The studies below `output`, the one planned last in the first place."""
    plans = list(output.glob("*/plan.json")) if output.is_dir() else []
    return [StudyDir(p.parent) for p in sorted(plans, key=lambda p: p.stat().st_mtime_ns, reverse=True)]
