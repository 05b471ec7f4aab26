"""Run a study on this machine: start its jobs, show them and, on Ctrl-C or SIGTERM, stop each without loss."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.console import Console

from scoft_hpc.errors import LaunchError
from scoft_hpc.launch.local.executor import JOB_MODULE, Executor
from scoft_hpc.launch.local.live_sync_process import LAST_SECONDS, STOPPED_SECONDS, live_sync
from scoft_hpc.launch.local.scheduler import LocalScheduler
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.planning.host_resources import JobSlot
from scoft_hpc.launch.planning.plan import Plan
from scoft_hpc.launch.views.live_display import view
from scoft_hpc.launch.views.run_progress import ProgressReader
from scoft_hpc.study import lease
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.periodic import hold
from scoft_hpc.study.plan_file import launch_lease, read

POLL_SECONDS = 0.2
PLAN_TIMEOUT_SECONDS = 10.0
"""How long a new owner may take from its lease to its plan."""


@dataclass(frozen=True)
class RunOutcome:
    """How a launch ended: whether a signal stopped it, and what is known of lost runs, by run id."""

    stopped: bool
    lost_reasons: dict[str, str]


def run_study(
    study: StudyDir,
    plan: Plan,
    slots: list[JobSlot],
    lanes: int | None,
    console: Console,
    job_module: str = JOB_MODULE,
) -> RunOutcome:
    """Send what is unfinished of the plan and watch it to the end; `job_module` is the module that the jobs call.

    Raises:
        RunError: if another process launches this study; the message names it.
        LaunchError: if the study's folder cannot be written to.
    """
    try:
        with hold(launch_lease(study)):
            plan_store.write(study, plan)
            scheduler = LocalScheduler(study, plan, slots, Executor(study.logs, job_module), lanes)
            with live_sync(study, plan.runs[0].config, log=study.logs / "mirror.log") as sync:
                stopped = not _run_to_end(study, scheduler, console)
                sync.end(STOPPED_SECONDS if stopped else LAST_SECONDS)
            return RunOutcome(stopped, scheduler.lost_reasons)
    except OSError as error:
        where = error.filename or study.path
        raise LaunchError(
            f"{where}: {error.strerror}. Jobs at work go on; fix this and start again."
        ) from None


def watch_study(study: StudyDir, console: Console) -> bool:
    """Watch a study that another process launches, until that ends; False if a signal ended the view."""
    stop = StopFlag()
    with stop.capture_signals():
        started = time.monotonic()
        while not study.plan.exists() and time.monotonic() - started < PLAN_TIMEOUT_SECONDS:
            time.sleep(POLL_SECONDS)
        progress = ProgressReader(study, read(study).runs)
        with view(console) as display:
            while lease.live_owner(launch_lease(study)) is not None and not stop.requested:
                display.show(progress.read(), "")
                time.sleep(POLL_SECONDS)
    return not stop.requested


def _run_to_end(study: StudyDir, scheduler: LocalScheduler, console: Console) -> bool:
    """Run the scheduler until nothing is left to do; False if a signal stopped it.

    The first signal asks the jobs to save and stop, a second one ends them at once.
    """
    stop, kill_flag = StopFlag(), StopFlag()
    progress = ProgressReader(study, read(study).runs)
    with stop.capture_signals(), view(console) as display:
        while scheduler.active and not stop.requested:
            scheduler.step()
            display.show(progress.read(scheduler.queued), scheduler.note)
            time.sleep(POLL_SECONDS)
        if not stop.requested:
            return True
        scheduler.stop()
        with kill_flag.capture_signals():
            while scheduler.active:
                if kill_flag.requested:
                    scheduler.kill()
                scheduler.step()
                display.show(progress.read(scheduler.queued), scheduler.note)
                time.sleep(POLL_SECONDS)
    return False
