"""The door to submitit: a batch as an sbatch array.

submitit writes the script and calls sbatch. The job itself is not its pickle but `python -m scoft_hpc.job BATCH`: so
nothing that an array needs comes into being after sbatch has accepted it, no handler of signals but ours is in the
job, and the job's exit code is its own.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scoft_hpc.config.cluster import Cluster, GpuFlag, gpu_of
from scoft_hpc.errors import LaunchError
from scoft_hpc.launch.slurm import client
from scoft_hpc.launch.slurm.client import NoAnswerError
from scoft_hpc.study import job_array
from scoft_hpc.study.job_array import Batch
from scoft_hpc.study.paths import StudyDir

JOB = "scoft_hpc.job"
PAUSES = (0.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each try to reach a controller that does not answer."""

UNREACHED = ("contact", "timed out", "timeout", "zero bytes", "connect", "communication", "try again")
"""What sbatch says when it does not know whether the controller has heard it."""


def parameters(cluster: Cluster, name: str, minutes: int, memory_gb: float | None = None) -> dict[str, Any]:
    """What submitit is to write into the sbatch header, but for the array and what it waits for.

    Args:
        name: the job's.
        minutes: the time limit.
        memory_gb: host memory, where it is not the profile's.
    """
    word, gpu = gpu_of(cluster)
    memory = memory_gb or gpu.memory_gb
    count = f"{word}:1" if word else "1"
    asked = {"gres": f"gpu:{count}"} if cluster.gpu_flag is GpuFlag.gres else {cluster.gpu_flag.value: count}
    chosen = {
        "job_name": name,
        "time": minutes,
        "nodes": 1,
        "ntasks_per_node": 1,
        "partition": gpu.partition or cluster.partition,
        "account": cluster.account,
        "qos": cluster.qos,
        "constraint": cluster.constraint,
        "cpus_per_task": gpu.cores,
        "mem": None if memory is None else f"{memory * 1024:.0f}M",
        "array_parallelism": cluster.jobs or cluster.max_array,
        "signal_delay_s": min(cluster.warn_seconds, minutes * 60 // 3),
        "stderr_to_stdout": True,
        "setup": list(cluster.setup) or None,
        # The step has all of the job's cores; without this it may be bound to one of them.
        "srun_args": ["--cpu-bind=none", *([f"--cpus-per-task={gpu.cores}"] if gpu.cores else [])],
        "additional_parameters": {**asked, "requeue": True, **cluster.sbatch},
    }
    return {**{key: value for key, value in chosen.items() if value is not None}, "wckey": None}


def script(study: StudyDir, sent: Batch) -> str:
    """The text that sbatch is given."""
    from submitit.slurm.slurm import _make_sbatch_string

    text: str = _make_sbatch_string(
        command=_command(study, sent), folder=_logs(study), map_count=len(sent.tasks), **sent.parameters
    )
    return text


def log_of(study: StudyDir, job: int, task: int) -> Path:
    """What the task printed, in all its attempts."""
    return _logs(study) / f"{job}_{task}_0_log.out"


def submit(study: StudyDir, sent: Batch) -> int:
    """Send a batch whose batch.json is written; return Slurm's number of it, which job.json then holds.

    A controller that does not answer is tried again, a little later each time; whether it had heard is looked up in
    the queue by the batch's name, so that nothing is sent twice.

    Raises:
        NoAnswerError: if the controller stays silent; the next launch finds out what became of the batch.
        LaunchError: if Slurm refuses; nothing was sent.
    """
    folder = job_array.folder_of(study, sent.name)
    silence = NoAnswerError("Slurm does not answer")
    for n, pause in enumerate(PAUSES):
        time.sleep(pause)
        try:
            job = client.queue().named(sent.job_name) if n else None
            return job_array.record_job(folder, job if job is not None else _sbatch(study, sent))
        except NoAnswerError as error:
            silence = error
    raise NoAnswerError(
        f"{silence} It was tried {len(PAUSES)} times in {sum(PAUSES):.0f} s. "
        f"Nothing is lost: the same command goes on when Slurm is back."
    )


def _sbatch(study: StudyDir, sent: Batch) -> int:
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    _logs(study).mkdir(parents=True, exist_ok=True)
    executor = _executor(_logs(study), _command(study, sent))
    executor.update_parameters(**sent.parameters)
    try:
        with _clean_environment():
            return int(executor.send(len(sent.tasks)))
    except FailedSubmissionError as error:
        raise NoAnswerError(f"sbatch answered strangely: {error}") from None
    except FailedJobError as error:
        said = " ".join(str(error).split())
        if any(word in said.lower() for word in UNREACHED):
            raise NoAnswerError(f"Slurm does not answer: {said}.") from None
        raise LaunchError(
            f"Slurm refused the jobs: {said}. Expected settings of `cluster` that fit this site; "
            f"`python -m scoft_hpc.doctor cluster=… cluster.account=…` tells which do not."
        ) from None


def _executor(logs: Path, command: str) -> Any:
    """submitit's executor, sending a command of ours in place of its pickles."""
    import submitit

    class Arrays(submitit.SlurmExecutor):  # type: ignore[misc]
        @property
        def _submitit_command_str(self) -> str:
            return command

        def send(self, tasks: int) -> int:
            self.parameters["map_count"] = tasks
            return int(self._submit_command(command).job_id)

    return Arrays(logs)


def _command(study: StudyDir, sent: Batch) -> str:
    python = sent.cluster.get("python") or shlex.quote(sys.executable)
    return f"{python} -u -m {JOB} {shlex.quote(str(job_array.folder_of(study, sent.name).absolute()))}"


def _logs(study: StudyDir) -> Path:
    return study.logs.absolute() / "slurm"


@contextlib.contextmanager
def _clean_environment() -> Iterator[None]:
    """sbatch hands the environment that it is called in to the job."""
    before = dict(os.environ)
    cleaned = client.clean(before)
    try:
        os.environ.clear()
        os.environ.update(cleaned)
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
