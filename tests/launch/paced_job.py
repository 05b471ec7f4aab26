"""A job that trains nothing: it takes leases, writes metrics, samples and results at a pace that a test sets.

Environment: JOB_PACE, seconds a step; JOB_SAVE, seconds of the save when it is stopped; JOB_CHECKPOINTS, any value: a
checkpoint at every step; JOB_FAIL, JOB_STOP and JOB_CRASH, part of the id of a run that fails, stops as after a
signal, or takes its whole job down; JOB_HOLD, a step before which runs wait for `<study>/go.txt`, or to be stopped.
Every start is noted in `<study>/started.txt`, every stop in `stopped.txt`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scoft_hpc.config import compose
from scoft_hpc.errors import INTERRUPTED, RunError
from scoft_hpc.study import atomic, run_status
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.metrics_log import STEP, MetricsLog
from scoft_hpc.study.paths import RunDir

PACE, SAVE = float(os.environ.get("JOB_PACE", "0.005")), float(os.environ.get("JOB_SAVE", "0.1"))
HOLD = int(os.environ.get("JOB_HOLD", "0"))


def execute(paths: Sequence[Path]) -> int:
    runs, stop = [RunDir(path) for path in paths if not RunDir(path).result.exists()], StopFlag()
    if any(_chosen("JOB_CRASH", run) for run in runs):
        raise RuntimeError("the job breaks off")
    with stop.capture_signals(), contextlib.ExitStack() as held:
        for run in runs:
            held.callback(Lease.acquire(run.lease).release)
            run_status.start_attempt(run)
            _note(run, "started.txt")
        codes = [_train(run, stop) for run in runs]
    return INTERRUPTED if INTERRUPTED in codes else max(codes, default=0)


def _train(run: RunDir, stop: StopFlag) -> int:
    steps = compose.load(run.config).train.steps or 0
    first = run_status.step(run)
    journal = MetricsLog(run.metrics, first)
    for step in range(first + 1, steps + 1):
        while step == HOLD and not stop.requested and not (run.path.parents[1] / "go.txt").exists():
            time.sleep(0.02)
        if stop.requested or (step == 3 and _chosen("JOB_STOP", run)):
            _note(run, "stopped.txt")
            time.sleep(SAVE)
            return INTERRUPTED
        if step == 3 and _chosen("JOB_FAIL", run):
            run_status.write_failure(run, "nan", "the loss is not finite", step)
            return RunError.exit_code
        time.sleep(PACE)
        journal.append({STEP: step, "loss": 1.0 / step})
        if "JOB_CHECKPOINTS" in os.environ:
            atomic.write_text(run.checkpoints / f"step-{step:08d}.safetensors", "a checkpoint of nothing")
    run.samples.mkdir(exist_ok=True)
    (run.samples / "p00-s00.png").touch()
    atomic.write_json(run.result, {"run_id": run.run_id, "steps": steps, "resumed": first})
    return 0


def _note(run: RunDir, name: str) -> None:
    with (run.path.parents[1] / name).open("a") as file:
        file.write(f"{run.run_id}\n")


def _chosen(variable: str, run: RunDir) -> bool:
    part = os.environ.get(variable)
    return part is not None and part in run.run_id


if __name__ == "__main__":
    raise SystemExit(execute([Path(argument) for argument in sys.argv[1:]]))
