"""The local scheduler: packs unfinished runs and starts a few jobs at a time, until nothing is left.

The truth is on disk: a run is done when its result exists, and worked on while its lease lives. So after a
launcher that was killed, with its jobs still at work, the next one waits for those jobs and sends the rest.

No job prepares cultures beforehand: each pack prepares what it finds missing, with the base that it has loaded
anyway. To load torch and the base once more, in a process of its own, takes longer than a culture of the toy world.
"""

from __future__ import annotations

import signal
import socket

from scoft_hpc.errors import HANDLED_EXIT_CODES
from scoft_hpc.launch.local.executor import Executor, Job
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.planning.host_resources import JobSlot
from scoft_hpc.launch.planning.packing import Pack, make_packs
from scoft_hpc.launch.planning.plan import Plan, Run
from scoft_hpc.study import lease, run_status
from scoft_hpc.study.paths import RunDir, StudyDir
from scoft_hpc.study.run_status import Status


class LocalScheduler:
    """Sends a plan's unfinished runs. `step` does what can be done now; call it until `active` is False.

    Attributes:
        lost_reasons: what is known of runs whose job broke off in the middle of them, by run id.
    """

    def __init__(
        self, study: StudyDir, plan: Plan, slots: list[JobSlot], executor: Executor, lanes: int | None
    ) -> None:
        self.lost_reasons: dict[str, str] = {}
        self._study, self._slots, self._executor, self._lanes = study, slots, executor, lanes
        self._jobs: dict[int, tuple[Pack, Job]] = {}
        self._queue: list[Pack] = []
        self._running_elsewhere: list[Run] = []
        self._stopping = False
        unfinished = []
        for run in plan.runs:
            status = run_status.status(self._dir(run))
            if status is Status.running:
                self._running_elsewhere.append(run)
            elif status is not Status.done:
                unfinished.append(run)
        self._enqueue(unfinished)

    @property
    def active(self) -> bool:
        return bool(self._jobs or (not self._stopping and (self._queue or self._running_elsewhere)))

    @property
    def queued(self) -> set[str]:
        """The ids of the runs that wait for a job, or have one that may not have come to them yet."""
        sent = [pack for pack, _ in self._jobs.values()]
        return {run.run_id for pack in [*self._queue, *sent] for run in pack.runs}

    @property
    def note(self) -> str:
        """What the runs' states do not show of the jobs."""
        return "stopping: the jobs save; once more ends them at once" if self._stopping else ""

    def step(self) -> None:
        self._reap()
        if not self._stopping:
            self._take_over()
            self._start()

    def stop(self) -> None:
        """Ask the jobs to save and stop; send nothing more."""
        self._stopping = True
        for _, job in self._jobs.values():
            job.cancel()

    def kill(self) -> None:
        """End the jobs at once; what they saved last is kept."""
        self._stopping = True
        for _, job in self._jobs.values():
            job.kill()

    def _dir(self, run: Run) -> RunDir:
        return self._study.run(run.run_id)

    def _enqueue(self, runs: list[Run]) -> None:
        """Pack the runs; their configs are written, and failures of earlier attempts set aside."""
        for run in runs:
            plan_store.write_config(self._study, run)
            run_status.archive_failure(self._dir(run))
        if runs:
            self._queue += make_packs(runs, len(self._slots), self._lanes)

    def _take_over(self) -> None:
        """Send the runs whose worker, started by an earlier launcher, ended without a result."""
        states = {run: run_status.status(self._dir(run)) for run in self._running_elsewhere}
        self._running_elsewhere = [run for run in self._running_elsewhere if states[run] is Status.running]
        self._enqueue([run for run, status in states.items() if status in (Status.lost, Status.planned)])

    def _start(self) -> None:
        if not self._queue:
            return
        # Workers that an earlier launcher left on this machine have their share of it still.
        owners = [lease.live_owner(self._dir(run).lease) for run in self._running_elsewhere]
        others = {owner.pid for owner in owners if owner is not None and owner.host == socket.gethostname()}
        while self._queue and len(self._jobs) + len(others) < len(self._slots):
            free = next(i for i in range(len(self._slots)) if i not in self._jobs)
            sent = self._queue.pop(0)
            paths = [self._dir(run).path for run in sent.runs]
            self._jobs[free] = sent, self._executor.submit(paths, self._slots[free])

    def _reap(self) -> None:
        for place, (sent, job) in list(self._jobs.items()):
            code = job.poll()
            if code is None:
                continue
            del self._jobs[place]
            if code not in HANDLED_EXIT_CODES and not self._stopping:
                for run in sent.runs:
                    self._record_lost_run(run, f"{_describe_exit(code)} (log: {job.log})")

    def _record_lost_run(self, run: Run, reason: str) -> None:
        """A job broke off: what became of its run is known to this process alone."""
        status = run_status.status(self._dir(run))
        if status is Status.planned:
            run_status.write_failure(self._dir(run), "job", reason, 0)
        elif status is Status.lost:
            self.lost_reasons[run.run_id] = reason


def _describe_exit(code: int) -> str:
    return f"its job {f'was killed ({signal.Signals(-code).name})' if code < 0 else f'ended with exit code {code}'}"
