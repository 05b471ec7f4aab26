"""What a task of a Slurm job array does: its pack in a process of its own, and what the end of that calls for.

It tells apart how the process ended, has Slurm start the task again where it was interrupted, submits what other jobs
lost, and gathers the results if it is the last task to end.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scoft_hpc.config.cluster import from_plain
from scoft_hpc.config.schema import WandbMode
from scoft_hpc.console import print_stderr
from scoft_hpc.errors import INTERRUPTED, LaunchError, RunError, ScoftError
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.planning.plan import Run
from scoft_hpc.launch.slurm import client, launcher, task_runner
from scoft_hpc.launch.slurm.task_runner import ProcessExit, TaskContext
from scoft_hpc.launch.tracking.retry_policy import LOST
from scoft_hpc.launch.tracking.submission_plan import SubmissionRequest, plan_submission
from scoft_hpc.study import job_array, run_status
from scoft_hpc.study.interrupt import SIGNALS
from scoft_hpc.study.job_array import PREPARE, Attempt, JobArray
from scoft_hpc.study.paths import RunDir, StudyDir

Gather = Callable[[StudyDir, WandbMode | None], object]
"""Writes a study's results; the mode None is as planned. An argument, since `launch` does not import `results`."""

PATIENCE_SECONDS = 60.0
"""How long an ending job waits while another process submits."""


APPEARING_SECONDS = 60.0
"""How long a file that was written on another machine may take to be seen on this one."""


def run_task(task: TaskContext, gather: Gather) -> int:
    """Run the task's pack, submit what other jobs lost, and gather the results if this is the last task to end.

    Returns:
        The exit code of `execute`: 0 all done, 4 some failed, 75 interrupted and resumable.
    """
    array = _appearing(task.folder)
    standing = job_array.record_job(task.folder, task.job)
    if standing != task.job:
        print_stderr(
            f"this array ({task.job}) is not the one on record ({standing or 'none'}): nothing is done"
        )
        return 0
    if task_runner.superseded(task):
        print_stderr("Slurm has started this task again elsewhere: nothing is done here")
        return 0
    return _prepare(task, array) if array.stage == PREPARE else _train(task, array, gather)


def _appearing(folder: Path) -> JobArray:
    end = time.monotonic() + APPEARING_SECONDS
    while True:
        try:
            return job_array.read(folder)
        except LaunchError:
            if (folder / "array.json").exists() or time.monotonic() > end:
                raise
            time.sleep(1.0)


def _prepare(task: TaskContext, array: JobArray) -> int:
    attempt = task_runner.begin(task, array)
    process_exit = task_runner.run(
        task, array, attempt, [task.study.run(name) for name in array.tasks[task.index]]
    )
    _let_go()
    task_runner.end(task, attempt, process_exit, None)
    # Should it not have come to its end: every pack makes what it finds missing.
    return max(process_exit.code, 0) or int(process_exit.code < 0)


def _train(task: TaskContext, array: JobArray, gather: Gather) -> int:
    runs = task_runner.unfinished(task, array)
    stuck = task_runner.stalled_runs(task, array, runs)
    for run, why in stuck.items():
        print_stderr(f"{run.run_id}: {why}")
        run_status.write_failure(run, "no progress", why, run_status.step(run))
    runs = [run for run in runs if run not in stuck]
    interrupted = False
    if runs:
        attempt = task_runner.begin(task, array)
        process_exit = task_runner.run(task, array, attempt, runs)
        _let_go()
        if task_runner.superseded(task):
            print_stderr("Slurm has started this task again elsewhere: this start leaves it to that one")
            return INTERRUPTED
        if not _settle(task, array, attempt, process_exit, runs):
            return INTERRUPTED
        interrupted = process_exit.code == INTERRUPTED
    _tend(task, array, gather)
    if all(task.study.run(name).result.exists() for name in array.tasks[task.index]):
        return 0
    return INTERRUPTED if interrupted else RunError.exit_code


def _settle(
    task: TaskContext, array: JobArray, attempt: Attempt, process_exit: ProcessExit, runs: Sequence[RunDir]
) -> bool:
    """Keep what became of the runs; False if the task is started again, and this process is to be gone."""
    if process_exit.code == INTERRUPTED:
        cause = task_runner.interruption_cause(task, array, attempt)
        task_runner.end(task, attempt, process_exit, cause)
        if cause is None:  # Slurm ends this job and knows what comes next
            return False
        print_stderr(f"interrupted ({cause}); asking Slurm to start {task.name} again")
        return not client.requeue(task.name)
    broken = task_runner.classify_exit(task, process_exit)
    cause, message = broken or (None, "")
    if cause is not None:
        print_stderr(f"the process broke off ({cause}): {message}")
    if cause not in (None, LOST):
        for run in runs:
            if not run.result.exists() and not run.failure.exists():
                run_status.write_failure(run, str(cause), message, run_status.step(run))
    task_runner.end(task, attempt, process_exit, cause, message)
    return True


def _tend(task: TaskContext, array: JobArray, gather: Gather) -> None:
    """Send what is lost, as far as its cause allows, and gather when every run has ended one way or the other.

    An error here is only printed: this task's own work is done.
    """
    request = SubmissionRequest(
        from_plain(array.cluster),
        user_requested=False,
        budget_su=array.budget_su,
        exiting_task=(task.job, task.index),
    )
    try:
        runs = plan_store.runs(task.study)
        seen = launcher.read_state(task.study, runs, request)
        if plan_submission(task.study, runs, seen, request).runs:
            sent = _submit(task, runs, request)
            if sent:
                print_stderr(f"submitted again: {' '.join(run.run_id for run in sent)}")
        elif all(task.study.run(run.run_id).ended for run in runs):
            # A compute node may have no network: what is to go online is published from the login node.
            online = runs[0].config.wandb.mode is WandbMode.online
            gather(task.study, WandbMode.disabled if online else None)
    except (ScoftError, OSError) as error:
        print_stderr(f"note: {error}")


def _submit(task: TaskContext, runs: Sequence[Run], request: SubmissionRequest) -> list[Run]:
    """Submit what is missing, once no other process does; return what was submitted."""
    started = time.monotonic()
    while True:
        try:
            return launcher.submit_missing(task.study, runs, request).runs
        except RunError:  # another process is submitting
            if time.monotonic() - started > PATIENCE_SECONDS:
                raise
            time.sleep(1.0)


def _let_go() -> None:
    """The process has ended: the signals that ask for a save have nobody left to ask."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
