"""Which jobs a cancellation of runs takes out of Slurm, and doing it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from scoft_hpc.launch.slurm import client
from scoft_hpc.launch.tracking.run_state import RunState
from scoft_hpc.launch.tracking.study_state import StudyState
from scoft_hpc.study import job_array
from scoft_hpc.study.job_array import PREPARE, AccountingRecord
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.run_status import Status


@dataclass(frozen=True)
class Cancellation:
    """What stops if runs are cancelled.

    Attributes:
        jobs: that hold these runs, as `12_3`.
        preparing: jobs that prepare cultures for no other run.
        stopped: ids of all runs of these jobs; `others`, those of them that were not to be cancelled.
        n_unsent: runs that are being submitted at this moment and so cannot be cancelled yet.
    """

    jobs: tuple[str, ...]
    preparing: tuple[str, ...]
    stopped: tuple[str, ...]
    others: tuple[str, ...]
    n_unsent: int


def plan_cancellation(
    seen: StudyState, run_ids: Collection[str], cultures: Mapping[str, str]
) -> Cancellation:
    """What stops if these runs are cancelled; nothing is yet. `cultures` has every run's, by run id."""
    wanted = [
        state
        for state in seen.states.values()
        if state.run_id in run_ids and state.in_queue and state.place is not None
    ]
    jobs = {_job(state) for state in wanted if _in_queue(state)}
    stopped = [state.run_id for state in seen.states.values() if _in_queue(state) and _job(state) in jobs]
    names = {state.run_id for state in wanted}
    return Cancellation(
        jobs=tuple(sorted(jobs)),
        preparing=tuple(_preparing(seen, set(stopped), cultures)),
        stopped=tuple(stopped),
        others=tuple(name for name in stopped if name not in names),
        n_unsent=sum(not _job(state) for state in wanted),
    )


def cancel(study: StudyDir, seen: StudyState, cancellation: Cancellation) -> None:
    """Have Slurm cancel the jobs, and keep a record of those that had not started: Slurm keeps none.

    Raises:
        LaunchError: if Slurm refuses or does not answer.
    """
    jobs = [*cancellation.preparing, *cancellation.jobs]
    client.cancel(jobs)
    for array in seen.arrays:
        waited = {
            index: AccountingRecord("CANCELLED", 0.0)
            for other, index, entry in seen.live_tasks()
            if other is array and entry.state == "PENDING" and f"{array.job}_{index}" in jobs
        }
        if waited:
            job_array.save_accounting(study, array, waited)


def _job(state: RunState) -> str:
    return state.place.job if state.place else ""


def _in_queue(state: RunState) -> bool:
    """Whether a job will start it or works on it; a run that was started by hand has none."""
    under_way = state.status in (Status.running, Status.queued)
    return under_way and state.entry is not None and state.entry.alive


def _preparing(seen: StudyState, stopped: Collection[str], cultures: Mapping[str, str]) -> list[str]:
    needed = {
        cultures[state.run_id]
        for state in seen.states.values()
        if state.in_queue and state.run_id not in stopped
    }
    return [
        f"{array.job}_{index}"
        for array, index, _ in seen.live_tasks()
        if array.stage == PREPARE and cultures.get(array.tasks[index][0]) not in needed
    ]
