"""A study's arrays and Slurm's queue, made by hand: what the commands for a person have to read."""

from __future__ import annotations

import time

import pytest

from scoft_hpc.config.cluster import Cluster, Scheduler
from scoft_hpc.config.plain import to_plain
from scoft_hpc.launch.slurm import client
from scoft_hpc.launch.slurm.client import Queue, QueueEntry
from scoft_hpc.study import job_array
from scoft_hpc.study.job_array import TRAIN, Attempt, JobArray
from scoft_hpc.study.lease import user
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import read

HOST, NAME = "w001", "a-study.array"


def ids(study: StudyDir, *starts: str) -> tuple[str, ...]:
    """The runs whose ids begin so, in the plan's order."""
    return tuple(run.run_id for run in read(study).runs if run.run_id.startswith(starts))


def send(
    study: StudyDir, job: int | None, *tasks: tuple[str, ...], stage: str = TRAIN, hours: float = 1.0
) -> JobArray:
    """Write down an array as sent an hour ago, at 2 SU an hour; None: whether Slurm has it is not known."""
    sent = JobArray(
        name=f"{stage}-{job or 'open'}",
        stage=stage,
        created=time.time() - 3600,
        user=user(),
        tasks=tasks,
        seconds=(hours * 3600,) * len(tasks),
        gpu="v100-32",
        su_per_hour=2.0,
        minutes=120,
        sbatch_options={"job_name": NAME},
        cluster=to_plain(Cluster(name="slurm", scheduler=Scheduler.slurm)),
        user_requested=True,
    )
    job_array.write(study, sent)
    if job is not None:
        job_array.record_job(job_array.folder_of(study, sent.name), job)
    return job_array.read(job_array.folder_of(study, sent.name))


def attempt(study: StudyDir, sent: JobArray, task: int, restart: int = 0, **ending: object) -> Attempt:
    """An attempt that began half an hour ago; `ending` as for `Attempt`."""
    values = {"started": time.time() - 1800, "progress": dict.fromkeys(sent.tasks[task], 0), **ending}
    new = Attempt(task=task, restart=restart, job=f"{sent.job}_{task}", host=HOST, **values)
    job_array.write_attempt(job_array.folder_of(study, sent.name), new)
    return new


def line(task: str, state: str, reason: str = "None", used: float = 1800.0, start: str = "N/A") -> QueueEntry:
    """What squeue tells of a task."""
    job, _, index = task.partition("_")
    return QueueEntry(int(job), int(index), state, reason, NAME, used, start)


class Slurm:
    """Shows the commands a queue, and keeps what they cancel."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self.cancelled: list[str] = []
        patch.setattr(client, "cancel", self.cancelled.extend)
        self.holds()

    def holds(self, *lines: QueueEntry) -> None:
        self._patch.setattr(client, "queue", lambda users=(): Queue(lines))
        self._patch.setattr(client, "accounting", lambda jobs: {})

    def is_silent(self) -> None:
        def silence(*arguments: object) -> Queue:
            raise client.NoAnswerError("Slurm does not answer: unable to contact slurmctld.")

        self._patch.setattr(client, "queue", silence)
