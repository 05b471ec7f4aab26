"""A job array and its attempts as records, without files."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from scoft_hpc.config.cluster import Cluster
from scoft_hpc.config.plain import to_plain
from scoft_hpc.study.job_array import Attempt, JobArray
from scoft_hpc.study.lease import user

NOW = time.time()


RUN = "korea-mpc-s0-00000000"


def array(**changes: Any) -> JobArray:
    values: dict[str, Any] = {
        "name": "train-00000001", "stage": "train", "created": NOW - 500, "user": user(), "tasks": ((RUN,),),
        "seconds": (60.0,), "gpu": "v100-32", "su_per_hour": 1.0, "minutes": 10,
        "sbatch_options": {"job_name": "study.train-00000001"}, "cluster": to_plain(Cluster()),
        "user_requested": True, "job": 7,
    }  # fmt: skip
    return JobArray(**{**values, **changes})


def attempt(restart: int = 0, **changes: Any) -> Attempt:
    first = Attempt(0, restart, "7_0", "w001", NOW - 400 + restart, {RUN: 0}, last_heartbeat=NOW - 300)
    return replace(first, **changes)
