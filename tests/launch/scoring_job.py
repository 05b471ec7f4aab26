"""The job of `paced_job`, with scores: a run's style comes out the better, the nearer its rate is to 1e-3."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import paced_job

from scoft_hpc.config import compose
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import RunDir


def score(run: RunDir) -> None:
    miss = abs(math.log10(compose.load(run.config).train.lr) + 3)
    metrics = {"default_style": {"value": min(1.0, miss / 3), "n": 1}}
    atomic.write_json(run.scores, {"version": 2, "run_id": run.run_id, "metrics": metrics, "samples": []})


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:]]
    for path in paths:
        score(RunDir(path))
    raise SystemExit(paced_job.execute(paths))
