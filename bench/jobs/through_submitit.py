"""The trivial jobs by plain submitit: `send FOLDER COUNT` and `collect FOLDER ARRAY COUNT`."""

from __future__ import annotations

import sys

import submitit
from nap import nap


def send(folder: str, count: int) -> None:
    executor = submitit.AutoExecutor(folder, cluster="slurm")
    executor.update_parameters(
        slurm_partition="GPU-shared", timeout_min=60, slurm_additional_parameters={"gpus": "v100-32:1"}
    )
    jobs = executor.map_array(nap, range(count))
    print(jobs[0].job_id.split("_")[0])


def collect(folder: str, array: str, count: int) -> None:
    """Every job's result, or what submitit raises for it."""
    collected = 0
    for number in range(count):
        try:
            submitit.SlurmJob(folder, f"{array}_{number}").result()
            collected += 1
        except submitit.core.utils.UncompletedJobError as error:
            print(" ".join(str(error).split()))
    print(f"{collected} results")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["send", folder, count]:
            send(folder, int(count))
        case ["collect", folder, array, count]:
            collect(folder, array, int(count))
