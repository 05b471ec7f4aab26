"""Sending what is missing to Slurm, once: by a person's sweep or retry, or by a job that ends.

Who sends holds the study's launch lease, looks at the files and the queue under it, and writes down each array before
sbatch is called. So whatever dies in between, the next one finds what was sent and sends the rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from scoft_hpc.errors import LaunchError
from scoft_hpc.launch.planning import cost_estimate, plan_store
from scoft_hpc.launch.planning.plan import Run
from scoft_hpc.launch.slurm import client, sbatch
from scoft_hpc.launch.tracking import run_state, study_state
from scoft_hpc.launch.tracking.study_state import StudyState
from scoft_hpc.launch.tracking.submission_plan import SubmissionPlan, SubmissionRequest, plan_submission
from scoft_hpc.study import job_array, lease, run_status
from scoft_hpc.study.job_array import PREPARE, TRAIN, JobArray
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import launch_lease

SETTLE_SECONDS = 30.0
"""How long after its writing an array may still be on its way to Slurm, if its sender died over it."""


def read_state(study: StudyDir, runs: Sequence[Run], request: SubmissionRequest) -> StudyState:
    """The study's state, with the exiting task counted as ended."""
    seen = study_state.read(study, [run.run_id for run in runs])
    if request.exiting_task is None or seen.queue is None:
        return seen
    rest = [entry for entry in seen.queue.entries if (entry.job, entry.index) != request.exiting_task]
    queue = client.Queue(rest)
    return replace(seen, queue=queue, states=run_state.states(seen.files, seen.arrays, queue))


def submit_missing(
    study: StudyDir, runs: Sequence[Run], request: SubmissionRequest, ready: Callable[[], None] = lambda: None
) -> SubmissionPlan:
    """Send what is missing and return it; `ready` is called when the lease is held, before anything is written.

    Raises:
        RunError: if another process is sending runs of this study; it says who.
        NoAnswerError: if Slurm does not answer; the next launch continues.
        LaunchError: if there is no Slurm, if it refuses, if it would go over the budget, or if an array of the
            study cannot be read.
    """
    client.require()
    study.path.mkdir(parents=True, exist_ok=True)
    with Lease.acquire(launch_lease(study)):
        ready()
        seen = _resolve_pending_arrays(study, runs, request)
        sent = plan_submission(study, runs, seen, request)
        cost_estimate.require_budget(request.budget_su, seen.cost.su + _under_way(seen), sent.price)
        _make_ready(study, sent.runs, seen)
        preparing = sorted({array.job for array, *_ in seen.live_tasks(PREPARE) if array.job})
        _send(study, sent.arrays, preparing)
        return sent


def _resolve_pending_arrays(study: StudyDir, runs: Sequence[Run], request: SubmissionRequest) -> StudyState:
    """The study's state once it is known of every array whether Slurm has it.

    An array without a number is looked up by its name. One that the queue does not hold, and that was written so long
    ago that it cannot be on its way, is closed: should it turn up later, its tasks exit at once.
    """
    while True:
        seen = read_state(study, runs, request)
        if seen.unreadable:
            raise LaunchError(
                f"{' '.join(seen.unreadable)} Whether its jobs are in the queue is not known. Nothing was sent: "
                f"restore it, use the scoft-hpc that wrote it, or move it out of {study.jobs} if its jobs are gone."
            )
        if seen.arrays and seen.queue is None:
            raise client.NoAnswerError(seen.warnings[0] if seen.warnings else "Slurm does not answer.")
        open_ones = [array for array in seen.arrays if array.job is None]
        if not open_ones:
            return seen
        for array in open_ones:
            folder = job_array.folder_of(study, array.name)
            job = seen.queue.named(array.job_name) if seen.queue else None
            if job is not None:
                job_array.record_job(folder, job)
            elif time.time() - array.created > SETTLE_SECONDS:
                job_array.record_job(folder, 0)
        time.sleep(0.5)


def _make_ready(study: StudyDir, runs: Sequence[Run], seen: StudyState) -> None:
    """Write the configs, set earlier failures aside, and take the leases of jobs that the queue no longer holds."""

    def ready(run: Run) -> None:
        plan_store.write_config(study, run)
        folder = study.run(run.run_id)
        owner = seen.files[run.run_id].owner
        if owner is not None and owner.job:
            lease.revoke(folder.lease, owner)
        run_status.archive_failure(folder)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ready, runs))


def _send(study: StudyDir, arrays: Sequence[JobArray], preparing: Sequence[int]) -> None:
    """Training waits for every culture's preparation to end, well or not: a pack makes what it finds missing."""
    waits = list(preparing)
    for array in arrays:
        if array.stage == TRAIN and waits:
            jobs = ":".join(str(job) for job in waits)
            array = replace(array, sbatch_options={**array.sbatch_options, "dependency": f"afterany:{jobs}"})
        array = replace(array, created=time.time())
        job_array.write(study, array)
        try:
            job = sbatch.submit(study, array)
        except client.NoAnswerError:
            raise
        except LaunchError:
            job_array.record_job(job_array.folder_of(study, array.name), 0)
            raise
        if array.stage == PREPARE:
            waits.append(job)


def _under_way(seen: StudyState) -> float:
    """Service units that the tasks in the queue are still expected to take."""
    total = 0.0
    for array, task, _ in seen.live_tasks():
        last = array.last(task)
        elapsed = last.seconds if last else 0.0
        total += max(0.0, array.seconds[task] - elapsed) / 3600 * array.su_per_hour
    return total
