"""A job that trains nothing: real tasks and leases, and an `execute` that steps, saves and publishes at a test's pace.

`cluster.python="python paced.py"` makes a Slurm task of it: `paced.py -u -m scoft_hpc.job ARRAY` is that module, with
this file in place of `scoft_hpc.execute`. It reads what to do from `orders.json` beside the studies, at every step:

    pace     seconds a step                       saves    a checkpoint every so many steps; 0: when asked to stop
    deaf     signals are ignored                  hold     these restarts wait at their last step
    end      "exit" or "kill", at step `at`       fail     a cause to fail with, at step `at`
    lanes    more runs than these in a pack are out of GPU memory
    hog_gb   memory to take, and to be killed for, unless the job has twice that
    of       beginnings of the ids of the runs that `hold`, `end` and `fail` are for; else they are for all
    tries    by cause: attempts without progress after which a run is given up, in place of the policy's

Every start and every publication is a line in `started.txt` or `published.txt` beside the orders: run, job, restart.
A task that cannot read its array's file adds a line to `unread.txt`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from scoft_hpc import job
from scoft_hpc.config import compose
from scoft_hpc.errors import INTERRUPTED, LaunchError, RunError
from scoft_hpc.launch.slurm import task_runner
from scoft_hpc.launch.tracking.retry_policy import CAUSES
from scoft_hpc.study import atomic, job_array, run_status
from scoft_hpc.study.interrupt import SIGNALS, StopFlag
from scoft_hpc.study.job_array import JobArray
from scoft_hpc.study.lease import JOB, RESTART, Lease
from scoft_hpc.study.metrics_log import STEP, MetricsLog
from scoft_hpc.study.paths import RunDir

RESTARTS = int(os.environ.get(RESTART, "0"))
read_array = job_array.read


def execute(paths: Sequence[Path]) -> int:
    runs, stop = [RunDir(path) for path in paths if not RunDir(path).result.exists()], StopFlag()
    with stop.capture_signals(), contextlib.ExitStack() as held:
        if _orders(runs[0]).get("deaf"):
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
        leases, saved = {}, {}
        for run in runs:
            leases[run] = Lease.acquire(run.lease)
            held.callback(leases[run].release)
            saved[run] = run_status.progress(
                run
            )  # before the note: a test may then free a zombie, which saves
            run_status.start_attempt(run)
            _note(run, "started.txt")
        if len(runs) > _orders(runs[0]).get("lanes", len(runs)):
            for run in runs:
                run_status.write_failure(run, "gpu memory", f"{len(runs)} lanes do not fit", 0)
            return RunError.exit_code
        return max(_train(run, leases[run], saved[run], stop) for run in runs)


def _train(run: RunDir, lease: Lease, saved: int, stop: StopFlag) -> int:
    steps = compose.load(run.config).train.steps or 0
    sys.stderr.write(f"{run.run_id} goes on from step {saved}\n")
    journal, started = MetricsLog(run.metrics, saved), time.monotonic()
    for step in range(saved + 1, steps + 1):
        orders = _orders(run)
        while RESTARTS in _meant(run, orders).get("hold", []) and step == steps and not stop.requested:
            time.sleep(0.05)
            orders = _orders(run)
        due = time.monotonic() + orders["pace"]
        while (remaining := due - time.monotonic()) > 0 and not stop.requested:
            time.sleep(min(remaining, 0.05))
        if stop.requested:
            _save(run, step - 1)
            return INTERRUPTED
        if step >= orders.get("at", 1):
            faults = _meant(run, orders)
            _break(faults)
            if "fail" in faults:
                run_status.write_failure(run, faults["fail"], "as ordered", step)
                return RunError.exit_code
        journal.append({STEP: step, "loss": 1.0 / step, "seconds": time.monotonic() - started})
        if orders["saves"] and step % orders["saves"] == 0:
            _save(run, step)
    run.samples.mkdir(exist_ok=True)
    (run.samples / "p00-s00.png").touch()
    try:
        run_status.write_result(run, lease, RESTARTS + 1, {"train": 0.0})
    except RunError as error:
        sys.stderr.write(f"{error}\n")
        _note(run, "refused.txt")
        return RunError.exit_code
    _note(run, "published.txt")
    return 0


def _break(orders: dict[str, Any]) -> None:
    if "hog_gb" in orders:
        memory = float(os.environ["SLURM_MEM_PER_NODE"]) / 1024
        if memory < 2 * orders["hog_gb"]:
            held = bytearray(int(orders["hog_gb"] * 2**30))
            held[::4096] = b"x" * len(held[::4096])
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel would
    if orders.get("end") == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if orders.get("end") == "exit":
        raise SystemExit(1)


def _save(run: RunDir, step: int) -> None:
    if step > 0:
        atomic.write_text(run.checkpoints / f"step-{step:08d}.safetensors", "a checkpoint of nothing")


def _orders(run: RunDir) -> dict[str, Any]:
    orders: dict[str, Any] = json.loads((run.path.parents[2] / "orders.json").read_text())
    return orders


def _meant(run: RunDir, orders: dict[str, Any]) -> dict[str, Any]:
    """The orders, if they are for this run."""
    return orders if run.run_id.startswith(tuple(orders.get("of", [""]))) else {}


def _note(run: RunDir, name: str) -> None:
    with (run.path.parents[2] / name).open("a") as file:
        file.write(f"{run.run_id} {os.environ[JOB]} {RESTARTS}\n")


def _read_array(folder: Path) -> JobArray:
    """The array's file; a note where it cannot be read."""
    try:
        return read_array(folder)
    except LaunchError as error:
        with (folder.parents[2] / "unread.txt").open("a") as file:
            file.write(f"{error}\n")
        raise


if __name__ == "__main__":
    if "scoft_hpc.job" in sys.argv:
        task_runner.JOB_MODULE = Path(__file__).stem
        job_array.read = _read_array
        paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        folder = sys.argv[-1]
        orders = json.loads((Path(folder).parents[2] / "orders.json").read_text())
        for cause, tries in orders.get("tries", {}).items():
            CAUSES[cause] = replace(CAUSES[cause], tries=tries)
        raise SystemExit(job.main([folder]))
    raise SystemExit(0 if "--prepare" in sys.argv else execute([Path(argument) for argument in sys.argv[1:]]))
