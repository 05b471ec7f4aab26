"""Job arrays as sbatch scripts, and their submission through submitit.

The job is not a pickle of submitit's but `python -m scoft_hpc.job ARRAY`: so nothing that an array needs comes into
being after sbatch has accepted it, no handler of signals but ours is in the job, and the job's exit code is its own.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import time
from pathlib import Path
from typing import Any

from scoft_hpc.config.cluster import Cluster, GpuFlag, gpu_of
from scoft_hpc.errors import LaunchError
from scoft_hpc.launch.slurm import client
from scoft_hpc.launch.slurm.client import NoAnswerError
from scoft_hpc.study import job_array
from scoft_hpc.study.job_array import JobArray
from scoft_hpc.study.paths import StudyDir

JOB = "scoft_hpc.job"
NO_FLAGS = (
    "additional_parameters",
    "array_parallelism",
    "setup",
    "signal_delay_s",
    "srun_args",
    "stderr_to_stdout",
)
"""Parameters that are not flags of sbatch by their own names."""

PAUSES = (0.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds before each try to reach a controller that does not answer."""

UNREACHED = ("contact", "timed out", "timeout", "zero bytes", "connect", "communication", "try again")
"""What sbatch says when it does not know whether the controller has received the request."""


def sbatch_options(
    cluster: Cluster, name: str, minutes: int, memory_gb: float | None = None
) -> dict[str, Any]:
    """What the script holds, in submitit's names, but for the array and what it waits for.

    Args:
        name: the job's.
        minutes: the time limit.
        memory_gb: host memory, where it is not the profile's.
    """
    gpu_type, gpu = gpu_of(cluster)
    memory = memory_gb or gpu.memory_gb
    count = f"{gpu_type}:1" if gpu_type else "1"
    gpu_option = (
        {"gres": f"gpu:{count}"} if cluster.gpu_flag is GpuFlag.gres else {cluster.gpu_flag.value: count}
    )
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
        "additional_parameters": {**gpu_option, "requeue": True, **cluster.sbatch},
    }
    return {**{key: value for key, value in chosen.items() if value is not None}, "wckey": None}


def sbatch_script(study: StudyDir, array: JobArray) -> str:
    """The text that sbatch is given: an array with a task per pack, all output of a task in one file."""
    given, count = array.sbatch_options, len(array.tasks)
    log = f"{_logs(study)}/%A_%a_%t_log.out"
    flags = {key: value for key, value in given.items() if key not in NO_FLAGS and value is not None}
    flags |= {
        "array": f"0-{count - 1}%{min(count, given['array_parallelism'])}",
        "open-mode": "append",
        "output": log.replace("%t", "0"),
        "signal": f"USR2@{given['signal_delay_s']}",
        **given["additional_parameters"],
    }
    lines = ["#!/bin/bash", "", "# Parameters"]
    for key, value in sorted(flags.items()):
        flag = f"#SBATCH --{key.replace('_', '-')}"
        lines.append(flag if value is True else f"{flag}={shlex.quote(str(value))}")
    if setup := given.get("setup"):
        lines += ["", "# setup", *setup]
    srun = shlex.join(["srun", "--unbuffered", "--output", log, *given["srun_args"]])
    # submitit's own tools recognise its jobs by the variable
    lines += ["", "# command", "export SUBMITIT_EXECUTOR=slurm", f"{srun} {_command(study, array)}", ""]
    return "\n".join(lines)


def log_of(study: StudyDir, job: int, task: int) -> Path:
    """What the task printed, in all its attempts."""
    return _logs(study) / f"{job}_{task}_0_log.out"


def submit(study: StudyDir, array: JobArray) -> int:
    """Send an array whose array.json is written; return Slurm's number of it, which job.json then holds.

    A controller that does not answer is tried again, a little later each time; whether it had received
    the array is looked up in the queue by the array's name, so that nothing is submitted twice.

    Raises:
        NoAnswerError: if the controller stays silent; the next launch finds out what became of the array.
        LaunchError: if Slurm refuses; nothing was submitted.
    """
    folder = job_array.folder_of(study, array.name)
    silence = NoAnswerError("Slurm does not answer")
    for n, pause in enumerate(PAUSES):
        time.sleep(pause)
        try:
            job = client.queue().named(array.job_name) if n else None
            return job_array.record_job(folder, job if job is not None else _sbatch(study, array))
        except NoAnswerError as error:
            silence = error
    raise NoAnswerError(
        f"{silence} It was tried {len(PAUSES)} times in {sum(PAUSES):.0f} s. "
        f"Nothing is lost: the same command goes on when Slurm is back."
    )


def _sbatch(study: StudyDir, array: JobArray) -> int:
    from submitit.core.utils import FailedJobError
    from submitit.helpers import CommandFunction

    logs = _logs(study)
    logs.mkdir(parents=True, exist_ok=True)
    path = logs / f"{array.name}.sh"
    path.write_text(sbatch_script(study, array))
    # sbatch hands the environment that it is called in to the job
    environment = client.clean_environment(os.environ)
    try:
        answer = CommandFunction(["sbatch", str(path)], verbose=False, env=environment)()
    except FailedJobError as error:
        message = " ".join(str(error).split())
        if any(gpu_type in message.lower() for gpu_type in UNREACHED):
            raise NoAnswerError(f"Slurm does not answer: {message}.") from None
        raise LaunchError(
            f"Slurm refused the jobs: {message}. Expected settings of `cluster` that fit this site; "
            f"`python -m scoft_hpc.doctor cluster=… cluster.account=…` tells which do not."
        ) from None
    number = re.search(r"job (\d+)", answer)
    if number is None:
        raise NoAnswerError(f"sbatch gave no job number: {answer!r}")
    path.rename(logs / f"{number[1]}_submission.sh")
    return int(number[1])


def _command(study: StudyDir, array: JobArray) -> str:
    python = array.cluster.get("python") or shlex.quote(sys.executable)
    return f"{python} -u -m {JOB} {shlex.quote(str(job_array.folder_of(study, array.name).absolute()))}"


def _logs(study: StudyDir) -> Path:
    return study.logs.absolute() / "slurm"
