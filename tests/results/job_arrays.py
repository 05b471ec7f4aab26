"""Write the files of job arrays and their attempts."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from results.study_maker import Maker
from scoft_hpc.study import job_array
from scoft_hpc.study.job_array import Attempt, JobArray

HOUR = 3600.0


START = 1_700_000_000.0


def send(
    maker: Maker,
    name: str,
    tasks: Sequence[Sequence[str]],
    hours: Sequence[float],
    stage: str = "train",
    su_per_hour: float = 1.0,
    job: int | None = 7,
) -> Path:
    """Write what is known of an array when it has been sent; return its folder."""
    folder = job_array.folder_of(maker.folder, name)
    array = JobArray(
        name=name, stage=stage, created=START + len(list(maker.folder.jobs.glob("*"))), user="me",
        tasks=tuple(map(tuple, tasks)), seconds=tuple(each * HOUR for each in hours), gpu="v100-32",
        su_per_hour=su_per_hour, minutes=60, sbatch_options={}, cluster={}, user_requested=True,
    )  # fmt: skip
    job_array.write(maker.folder, array)
    if job is not None:
        job_array.record_job(folder, job)
    return folder


def attempt(folder: Path, task: int, restart: int, hours: float, ended: bool = True) -> None:
    end = START + hours * HOUR
    start = Attempt(task, restart, f"7_{task}", "w1", START, {}, ended=end if ended else None)
    job_array.write_attempt(folder, start)
    os.utime(job_array.attempt_file(folder, start), (end, end))
