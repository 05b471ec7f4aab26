"""Job arrays as files of the study: a task is one element of an array, an attempt one start of a task.

<study>/jobs/<array>/array.json              what is to be submitted; durable before sbatch is called
<study>/jobs/<array>/job.json                Slurm's number of the array
<study>/jobs/<array>/<task>.<restart>.json   an attempt: written at its start and end, touched while it lives
<study>/jobs/<array>/accounting.json         what Slurm reported on ended tasks, kept because Slurm forgets
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
        ended, code, cause: None while it lives, and for ever if it was killed before it could write.
        last_heartbeat: the last sign of life (the file's time).
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
    last_heartbeat: float = 0.0

    @property
    def seconds(self) -> float:
        """How long it held its GPU, as far as its file tells."""
        return max(0.0, (self.ended or self.last_heartbeat) - self.started)


@dataclass(frozen=True)
class AccountingRecord:
    """Slurm's last record of a task: its state, such as TIMEOUT, and how long it ran, in seconds."""

    state: str
    seconds: float


@dataclass(frozen=True)
class JobArray:
    """One array.

    Attributes:
        seconds: the estimate of each task.
        gpu: the type that was asked for; `su_per_hour` what an hour of one costs.
        minutes: the time limit of each task.
        sbatch_options: those of the sbatch header, in submitit's names.
        cluster: the settings that it was submitted with; later submissions of the study use them too.
        user_requested: a user submitted it; an ending job otherwise.
        budget_su: the budget that it was submitted under; it also limits what ending jobs submit.
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
    sbatch_options: dict[str, Any]
    cluster: dict[str, Any]
    user_requested: bool
    budget_su: float | None = None
    job: int | None = None
    attempts: tuple[Attempt, ...] = ()
    accounting: dict[int, AccountingRecord] = field(default_factory=dict)

    @property
    def job_name(self) -> str:
        """What Slurm calls it: nothing else on the cluster is called so."""
        return str(self.sbatch_options["job_name"])

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
        for task, record in self.accounting.items():
            seconds[task] = max(seconds.get(task, 0.0), record.seconds)
        return sum(seconds.values())


DERIVED = ("job", "attempts", "accounting")
"""The fields of an array that are stored in separate files."""


def folder_of(study: StudyDir, name: str) -> Path:
    return study.jobs / name


def new_name(stage: str) -> str:
    """Such as `train-9f3a1c04`."""
    return f"{stage}-{secrets.token_hex(4)}"


def write(study: StudyDir, array: JobArray) -> None:
    content = {key: value for key, value in asdict(array).items() if key not in DERIVED}
    atomic.write_json(folder_of(study, array.name) / "array.json", {"version": VERSION, **content})


def record_job(folder: Path, job: int) -> int:
    """Record Slurm's number of the array in `folder`, unless one is recorded; return the recorded number.

    The submitter and the first task that starts may both call this, and after a lost answer of sbatch two arrays may.
    The first number wins, by a hard link or an exclusive creation, and tasks of another array exit at once. A file
    that a crash left torn is replaced: otherwise the array would never have a number.
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
    recorded = read_json(path).get("job")
    if recorded is None:
        atomic.write_text(path, text)
        recorded = read_json(path).get("job", job)
    return int(recorded)


def attempt_file(folder: Path, attempt: Attempt) -> Path:
    return folder / f"{attempt.task}.{attempt.restart}.json"


def write_attempt(folder: Path, attempt: Attempt) -> None:
    content = {key: value for key, value in asdict(attempt).items() if key != "last_heartbeat"}
    atomic.write_json(attempt_file(folder, attempt), content)


def save_accounting(study: StudyDir, array: JobArray, accounting: Mapping[int, AccountingRecord]) -> None:
    """Add to what is known of ended tasks. Whoever may only read the study keeps nothing."""
    content = {str(task): asdict(record) for task, record in {**array.accounting, **accounting}.items()}
    with contextlib.suppress(OSError):
        atomic.write_json(folder_of(study, array.name) / "accounting.json", content)


def read_all(study: StudyDir) -> list[JobArray]:
    """Every array of the study, oldest first, with its attempts.

    Raises:
        LaunchError: if one cannot be read, or was written by another version.
    """
    arrays, faults = read_readable(study)
    if faults:
        raise LaunchError(" ".join(faults))
    return arrays


def read_readable(study: StudyDir) -> tuple[list[JobArray], list[str]]:
    """The arrays that can be read, oldest first, and a sentence about each that cannot."""
    arrays, faults = [], []
    for path in sorted(study.jobs.glob("*/array.json")):
        try:
            arrays.append(read(path.parent))
        except LaunchError as error:
            faults.append(str(error))
    return sorted(arrays, key=lambda array: array.created), faults


def read(folder: Path) -> JobArray:
    """One array from its folder.

    Raises:
        LaunchError: if it cannot be read, or was written by another version.
    """
    content = read_json(folder / "array.json")
    if content.get("version") != VERSION:
        says = f"it says {content.get('version')}" if content else "it is not whole"
        raise LaunchError(
            f"{folder / 'array.json'} cannot be read as a job array of version {VERSION} ({says}); it was left alone, "
            f"and its jobs are not counted."
        )
    try:
        values = {f.name: content[f.name] for f in fields(JobArray) if f.name in content}
        values["tasks"] = tuple(tuple(task) for task in values["tasks"])
        values["seconds"] = tuple(map(float, values["seconds"]))
        if len(values["tasks"]) != len(values["seconds"]) or not all(values["tasks"]):
            raise ValueError("tasks and their estimates do not match")
        accounting = {
            int(task): AccountingRecord(**record)
            for task, record in read_json(folder / "accounting.json").items()
        }
        job = read_json(folder / "job.json").get("job")
        return JobArray(**values, job=job, attempts=tuple(_attempts(folder)), accounting=accounting)
    except (KeyError, TypeError, ValueError) as error:
        raise LaunchError(
            f"{folder} cannot be read as a job array ({error!r}); it was left alone, and its jobs are not counted."
        ) from None


def _attempts(folder: Path) -> list[Attempt]:
    attempts = []
    known = {f.name for f in fields(Attempt)} - {"last_heartbeat"}
    with os.scandir(folder) as entries:
        for entry in entries:
            task, _, rest = entry.name.partition(".")
            if task.isdigit() and rest.endswith(".json"):
                content = read_json(Path(entry.path))
                if content:  # else it is not whole yet
                    values = {key: value for key, value in content.items() if key in known}
                    attempts.append(Attempt(**values, last_heartbeat=entry.stat().st_mtime))
    return sorted(attempts, key=lambda attempt: (attempt.started, attempt.task))
