"""The trivial jobs as runs of a study: the real job of scoft_hpc around a nap in place of the training.

Called for Python (`cluster.python`) it is that job; called with a run's folder it is that job's module.
"""

from __future__ import annotations

import sys
from pathlib import Path

from nap import nap

from scoft_hpc import job
from scoft_hpc.config import compose
from scoft_hpc.launch.slurm import task_runner
from scoft_hpc.study import atomic, run_status
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.paths import RunDir


def execute(run: RunDir) -> int:
    """A run whose seed is the number of the nap."""
    hold = Lease.acquire(run.lease)
    try:
        run_status.start_attempt(run)
        number = nap(compose.load(run.config).seed)
        atomic.write_json(run.result, {"run_id": run.run_id, "steps": 0, "number": number})
    finally:
        hold.release()
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "-u":
        task_runner.JOB_MODULE = Path(__file__).stem
        raise SystemExit(job.main(sys.argv[-1:]))
    raise SystemExit(execute(RunDir(Path(sys.argv[1]))))
