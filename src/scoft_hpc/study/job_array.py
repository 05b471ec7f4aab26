"""What was sent to Slurm, as files of the study: a batch is one array, a task one of its elements, and an attempt
one start of a task.

    <study>/jobs/<batch>/batch.json            what is to be sent; durable before sbatch is called
    <study>/jobs/<batch>/job.json              Slurm's number for it
    <study>/jobs/<batch>/<task>.<restart>.json an attempt: written at its start and its end, touched while it lives
    <study>/jobs/<batch>/verdicts.json         what Slurm said of tasks that ended, kept because Slurm forgets
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from scoft_hpc.errors import LaunchError
from scoft_hpc.study import atomic
from scoft_hpc.study.json_files import read_json
from scoft_hpc.study.paths import StudyDir

VERSION = 1
TRAIN, PREPARE = "train", "prepare"
"""The stages: packs of runs, and the cultures that these need."""

Task = tuple[str, ...]
"""The runs of one array element, by id; of a culture to prepare, one run that needs it."""


@dataclass(frozen=True)
class Attempt:
    """One start of a task.

    Attributes:
        restart: how often Slurm had started the task before.
        job: Slurm's name of the task, as `123_4`.
        progress: what each run had on disk at the start, in saved steps and pictures.
        memory_gb: host memory that Slurm gave it, if that is known.
        ended, code, cause: None while it lives, and for ever if it was killed unheard.
        alive: the last sign of life (the file's time).
    """

    task: int
    restart: int
    job: str
    host: str
    started: float
    progress: dict[str, int]
    memory_gb: float | None = None
    ended: float | None = None
    code: int | None = None
    cause: str | None = None
    note: str = ""
    alive: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it held its GPU, as far as its file tells."""
        return max(0.0, (self.ended or self.alive) - self.started)


@dataclass(frozen=True)
class Verdict:
    """Slurm's last word on a task: its state, such as TIMEOUT, and how long it ran, in seconds."""

    state: str
    seconds: float


@dataclass(frozen=True)
class Batch:
    """One array.

    Attributes:
        seconds: the estimate of each task.
        gpu: the type that was asked for; `su_per_hour` what an hour of one costs.
        minutes: the time limit of each task.
        parameters: what submitit is told, and so the sbatch header.
        cluster: the settings under which it was sent, for those who send the rest.
        by_hand: a person sent it; an ending job otherwise.
        limit: the budget in service units that it was sent under, which binds what follows by itself.
        job: Slurm's number of the array; None if it is not known whether it was accepted, 0 if it was not.
    """

    name: str
    stage: str
    created: float
    user: str
    tasks: tuple[Task, ...]
    seconds: tuple[float, ...]
    gpu: str
    su_per_hour: float
    minutes: int
    parameters: dict[str, Any]
    cluster: dict[str, Any]
    by_hand: bool
    limit: float | None = None
    job: int | None = None
    attempts: tuple[Attempt, ...] = ()
    verdicts: dict[int, Verdict] = field(default_factory=dict)

    @property
    def job_name(self) -> str:
        """What Slurm calls it: nothing else on the cluster is called so."""
        return str(self.parameters["job_name"])

    def last(self, task: int) -> Attempt | None:
        """The newest attempt of a task."""
        of_task = [attempt for attempt in self.attempts if attempt.task == task]
        return max(of_task, key=lambda attempt: attempt.restart, default=None)

    @property
    def gpu_seconds(self) -> float:
        """How long GPUs were held so far: each task's attempts, or Slurm's own count where that is longer."""
        seconds: dict[int, float] = {}
        for attempt in self.attempts:
            seconds[attempt.task] = seconds.get(attempt.task, 0.0) + attempt.seconds
        for task, verdict in self.verdicts.items():
            seconds[task] = max(seconds.get(task, 0.0), verdict.seconds)
        return sum(seconds.values())


DERIVED = ("job", "attempts", "verdicts")
"""The fields of a batch that files of their own hold."""


def folder_of(study: StudyDir, name: str) -> Path:
    return study.jobs / name


def new_name(stage: str) -> str:
    """Such as `train-9f3a1c04`."""
    return f"{stage}-{secrets.token_hex(4)}"


def write(study: StudyDir, batch: Batch) -> None:
    content = {key: value for key, value in asdict(batch).items() if key not in DERIVED}
    atomic.write_json(folder_of(study, batch.name) / "batch.json", {"version": VERSION, **content})


def record_job(folder: Path, job: int) -> int:
    """Keep Slurm's number of the batch in `folder`, unless there is one; return the number that stands.

    The submitter and the first task that starts may both come with it, and after a lost answer of sbatch two
    arrays may: the first stands, by a hard link or an exclusive creation, and tasks of another one leave at once.
    """
    path = folder / "job.json"
    text = json.dumps({"job": job, "accepted": time.time()})
    temporary = folder / f".job.{secrets.token_hex(4)}.tmp"
    try:
        atomic.write_text(temporary, text)
        os.link(temporary, path)
        atomic.fsync_folder(folder)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        with contextlib.suppress(FileExistsError), path.open("x") as file:
            file.write(text)
    finally:
        temporary.unlink(missing_ok=True)
    standing = read_json(path).get("job")
    return job if standing is None else int(standing)


def attempt_file(folder: Path, attempt: Attempt) -> Path:
    return folder / f"{attempt.task}.{attempt.restart}.json"


def write_attempt(folder: Path, attempt: Attempt) -> None:
    content = {key: value for key, value in asdict(attempt).items() if key != "alive"}
    atomic.write_json(attempt_file(folder, attempt), content)


def keep_verdicts(study: StudyDir, batch: Batch, verdicts: Mapping[int, Verdict]) -> None:
    """Add to what is known of ended tasks. Whoever may only read the study keeps nothing."""
    content = {str(task): asdict(verdict) for task, verdict in {**batch.verdicts, **verdicts}.items()}
    with contextlib.suppress(OSError):
        atomic.write_json(folder_of(study, batch.name) / "verdicts.json", content)


def read_all(study: StudyDir) -> list[Batch]:
    """Every array of the study, oldest first, with its attempts.

    Raises:
        LaunchError: if one cannot be read, or was written by another version.
    """
    arrays, faults = read_readable(study)
    if faults:
        raise LaunchError(" ".join(faults))
    return arrays


def read_readable(study: StudyDir) -> tuple[list[Batch], list[str]]:
    """The arrays that can be read, oldest first, and a sentence about each that cannot."""
    arrays, faults = [], []
    for path in sorted(study.jobs.glob("*/batch.json")):
        try:
            arrays.append(read(path.parent))
        except LaunchError as error:
            faults.append(str(error))
    return sorted(arrays, key=lambda array: array.created), faults


def read(folder: Path) -> Batch:
    """One array from its folder.

    Raises:
        LaunchError: if it cannot be read, or was written by another version.
    """
    content = read_json(folder / "batch.json")
    if content.get("version") != VERSION:
        says = f"it says {content.get('version')}" if content else "it is not whole"
        raise LaunchError(
            f"{folder / 'batch.json'} cannot be read as a job array of version {VERSION} ({says}); it was left alone, "
            f"and its jobs are not counted."
        )
    try:
        values = {f.name: content[f.name] for f in fields(Batch) if f.name in content}
        values["tasks"] = tuple(tuple(task) for task in values["tasks"])
        values["seconds"] = tuple(map(float, values["seconds"]))
        if len(values["tasks"]) != len(values["seconds"]) or not all(values["tasks"]):
            raise ValueError("tasks and their estimates do not match")
        verdicts = {int(task): Verdict(**said) for task, said in read_json(folder / "verdicts.json").items()}
        job = read_json(folder / "job.json").get("job")
        return Batch(**values, job=job, attempts=tuple(_attempts(folder)), verdicts=verdicts)
    except (KeyError, TypeError, ValueError) as error:
        raise LaunchError(
            f"{folder} cannot be read as a job array ({error!r}); it was left alone, and its jobs are not counted."
        ) from None


def _attempts(folder: Path) -> list[Attempt]:
    attempts = []
    known = {f.name for f in fields(Attempt)} - {"alive"}
    with os.scandir(folder) as entries:
        for entry in entries:
            task, _, rest = entry.name.partition(".")
            if task.isdigit() and rest.endswith(".json"):
                content = read_json(Path(entry.path))
                if content:  # else it is not whole yet
                    values = {key: value for key, value in content.items() if key in known}
                    attempts.append(Attempt(**values, alive=entry.stat().st_mtime))
    return sorted(attempts, key=lambda attempt: (attempt.started, attempt.task))
