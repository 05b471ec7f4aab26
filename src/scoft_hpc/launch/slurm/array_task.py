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
from scoft_hpc.launch.slurm.task_runner import Ending, Place
from scoft_hpc.launch.tracking.submission_plan import Request, coming
from scoft_hpc.study import job_array, run_status
from scoft_hpc.study.interrupt import SIGNALS
from scoft_hpc.study.job_array import PREPARE, Attempt, Batch
from scoft_hpc.study.paths import RunDir, StudyDir

Gather = Callable[[StudyDir, WandbMode | None], object]
"""Writes a study's results; the mode None is as planned. An argument, since `launch` does not import `results`."""

PATIENCE_SECONDS = 60.0
"""How long an ending job waits for another one that sends."""


APPEARING_SECONDS = 60.0
"""How long a file that was written on another machine may take to be seen on this one."""


def run_task(place: Place, gather: Gather) -> int:
    """Run the task's pack, submit what other jobs lost, and gather the results if this is the last task to end.

    Returns:
        The exit code of `execute`: 0 all done, 4 some failed, 75 interrupted and resumable.
    """
    sent = _appearing(place.folder)
    standing = job_array.record_job(place.folder, place.job)
    if standing != place.job:
        print_stderr(
            f"this array ({place.job}) is not the one on record ({standing or 'none'}): nothing is done"
        )
        return 0
    if task_runner.superseded(place):
        print_stderr("Slurm has started this task anew elsewhere: nothing is done here")
        return 0
    return _prepare(place, sent) if sent.stage == PREPARE else _train(place, sent, gather)


def _appearing(folder: Path) -> Batch:
    end = time.monotonic() + APPEARING_SECONDS
    while True:
        try:
            return job_array.read(folder)
        except LaunchError:
            if (folder / "batch.json").exists() or time.monotonic() > end:
                raise
            time.sleep(1.0)


def _prepare(place: Place, sent: Batch) -> int:
    attempt = task_runner.begin(place, sent)
    ending = task_runner.run(
        place, sent, attempt, [place.study.run(name) for name in sent.tasks[place.index]]
    )
    _let_go()
    task_runner.end(place, attempt, ending, None)
    # Should it not have come to its end: every pack makes what it finds missing.
    return max(ending.code, 0) or int(ending.code < 0)


def _train(place: Place, sent: Batch, gather: Gather) -> int:
    runs = task_runner.unfinished(place, sent)
    stuck = task_runner.hopeless(place, sent, runs)
    for run, why in stuck.items():
        print_stderr(f"{run.run_id}: {why}")
        run_status.write_failure(run, "no progress", why, run_status.step(run))
    runs = [run for run in runs if run not in stuck]
    interrupted = False
    if runs:
        attempt = task_runner.begin(place, sent)
        ending = task_runner.run(place, sent, attempt, runs)
        _let_go()
        if task_runner.superseded(place):
            print_stderr("Slurm has started this task anew elsewhere: this start leaves it to that one")
            return INTERRUPTED
        if not _settle(place, sent, attempt, ending, runs):
            return INTERRUPTED
        interrupted = ending.code == INTERRUPTED
    _tend(place, sent, gather)
    if all(_done(place, sent)):
        return 0
    return INTERRUPTED if interrupted else RunError.exit_code


def _settle(place: Place, sent: Batch, attempt: Attempt, ending: Ending, runs: Sequence[RunDir]) -> bool:
    """Keep what became of the runs; False if the task is started again, and this process is to be gone."""
    if ending.code == INTERRUPTED:
        cause = task_runner.interruption(place, sent, attempt)
        task_runner.end(place, attempt, ending, cause)
        if cause is None:  # Slurm ends this job and knows what comes next
            return False
        print_stderr(f"interrupted ({cause}); asking Slurm to start {place.name} again")
        return not client.requeue(place.name)
    broken = task_runner.breakdown(place, ending)
    cause, message = broken or (None, "")
    if cause is not None:
        print_stderr(f"the process broke off ({cause}): {message}")
    if cause not in (None, "lost"):
        for run in runs:
            if not run.result.exists() and not run.failure.exists():
                run_status.write_failure(run, str(cause), message, run_status.step(run))
    task_runner.end(place, attempt, ending, cause, message)
    return True


def _tend(place: Place, sent: Batch, gather: Gather) -> None:
    """Send what is lost, as far as its cause allows, and gather when every run has ended one way or the other.

    What goes wrong here is told and no more: this task's own work is done.
    """
    request = Request(
        from_plain(sent.cluster), by_hand=False, limit=sent.limit, leaving=(place.job, place.index)
    )
    try:
        runs = plan_store.runs(place.study)
        seen = launcher.look(place.study, runs, request)
        if coming(place.study, runs, seen, request).runs:
            for line in _launch(place, runs, request):
                print_stderr(line)
        elif all(place.study.run(run.run_id).ended for run in runs):
            # A compute node may have no network: what is to go online is published from the login node.
            online = runs[0].config.wandb.mode is WandbMode.online
            gather(place.study, WandbMode.disabled if online else None)
    except (ScoftError, OSError) as error:
        print_stderr(f"note: {error}")


def _launch(place: Place, runs: Sequence[Run], request: Request) -> list[str]:
    started = time.monotonic()
    while True:
        try:
            sent = launcher.launch(place.study, runs, request)
            return [f"sent again: {' '.join(run.run_id for run in sent.runs)}"] if sent.runs else []
        except RunError:  # another one is sending
            if time.monotonic() - started > PATIENCE_SECONDS:
                raise
            time.sleep(1.0)


def _done(place: Place, sent: Batch) -> list[bool]:
    return [place.study.run(name).result.exists() for name in sent.tasks[place.index]]


def _let_go() -> None:
    """The process has ended: the signals that ask for a save have nobody left to ask."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
