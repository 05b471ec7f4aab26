"""The loop of a sweep: sends, watches and, on Ctrl-C or SIGTERM, stops every job without loss."""

from __future__ import annotations

import time
from dataclasses import dataclass

from rich.console import Console

from scoft_hpc.errors import LaunchError
from scoft_hpc.launch.local.executor import JOB_MODULE, Executor
from scoft_hpc.launch.local.live_sync_process import LAST_SECONDS, STOPPED_SECONDS, mirroring
from scoft_hpc.launch.local.scheduler import Fleet
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.planning.host_resources import Slot
from scoft_hpc.launch.planning.plan import Plan
from scoft_hpc.launch.views.live import view
from scoft_hpc.launch.views.run_progress import Progress
from scoft_hpc.study import lease
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import launch_lease, read

POLL_SECONDS = 0.2
BEAT_SECONDS = 60.0
PATIENCE_SECONDS = 10.0
"""How long a new owner may take from its lease to its plan."""


@dataclass(frozen=True)
class Ending:
    """How a launch ended: whether a signal stopped it, and what is known of lost runs, by run id."""

    stopped: bool
    told: dict[str, str]


def send(
    study: StudyDir,
    plan: Plan,
    slots: list[Slot],
    lanes: int | None,
    console: Console,
    job_module: str = JOB_MODULE,
) -> Ending:
    """Send what is unfinished of the plan and watch it to the end; `job_module` is the module that the jobs call.

    Raises:
        RunError: if another process launches this study; it says who.
        LaunchError: if the study's folder cannot be written to.
    """
    try:
        hold = Lease.acquire(launch_lease(study))
        try:
            plan_store.write(study, plan)
            fleet = Fleet(study, plan, slots, Executor(study.logs, job_module), lanes)
            with mirroring(study, plan.runs[0].config, log=study.logs / "mirror.log") as mirror:
                stopped = not _drive(study, fleet, hold, console)
                mirror.end(STOPPED_SECONDS if stopped else LAST_SECONDS)
            return Ending(stopped, fleet.told)
        finally:
            hold.release()
    except OSError as error:
        where = error.filename or study.path
        raise LaunchError(
            f"{where}: {error.strerror}. Jobs at work go on; mend this and start again."
        ) from None


def follow(study: StudyDir, console: Console) -> bool:
    """Watch a study that another process launches, until that ends; False if told to stop watching."""
    stop = StopFlag()
    with stop.capture_signals():
        started = time.monotonic()
        while not study.plan.exists() and time.monotonic() - started < PATIENCE_SECONDS:
            time.sleep(POLL_SECONDS)
        progress = Progress(study, read(study).runs)
        with view(console) as display:
            while lease.live_owner(launch_lease(study)) is not None and not stop.requested:
                display.show(progress.read(), "")
                time.sleep(POLL_SECONDS)
    return not stop.requested


def _drive(study: StudyDir, fleet: Fleet, hold: Lease, console: Console) -> bool:
    """Run the fleet until nothing is left to do; False if it was told to stop.

    The first signal asks the jobs to save and stop, a second one ends them at once.
    """
    stop, again = StopFlag(), StopFlag()
    progress = Progress(study, read(study).runs)
    beaten = time.monotonic()
    with stop.capture_signals(), view(console) as display:
        while fleet.active and not stop.requested:
            fleet.step()
            display.show(progress.read(fleet.queued), fleet.note)
            if time.monotonic() - beaten > BEAT_SECONDS:
                hold.renew()
                beaten = time.monotonic()
            time.sleep(POLL_SECONDS)
        if not stop.requested:
            return True
        fleet.stop()
        with again.capture_signals():
            while fleet.active:
                if again.requested:
                    fleet.kill()
                fleet.step()
                display.show(progress.read(fleet.queued), fleet.note)
                time.sleep(POLL_SECONDS)
    return False
