"""A study on its way: what is unfinished is prepared, packed and sent, a few jobs at a time, until done.

The truth is on disk: a run is done when its result exists, and worked on while its claim lives. So after a
launcher that was killed, with its jobs still at work, the next one waits for those jobs and sends the rest.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Hashable
from dataclasses import dataclass

from scoft_hpc.errors import INTERRUPTED, RunError
from scoft_hpc.launch import pack, store
from scoft_hpc.launch.local import Executor, Job
from scoft_hpc.launch.plan import Plan, Run
from scoft_hpc.launch.resources import Slot
from scoft_hpc.runs import claim, record
from scoft_hpc.runs.layout import RunDir, StudyDir
from scoft_hpc.runs.record import Status

TOLD = (0, RunError.exit_code, INTERRUPTED)
"""Exit codes of a job that came to its own end; its runs' files tell the rest."""


@dataclass(frozen=True)
class Work:
    """What one job is sent: a verb and runs; for `prepare`, one run a culture."""

    verb: str
    runs: tuple[Run, ...]


class Fleet:
    """Sends a plan's unfinished runs. `step` does what can be done now; call it until `active` is False.

    Attributes:
        told: a line for every job that ended otherwise than it should, with its log, by run id.
    """

    def __init__(
        self, study: StudyDir, plan: Plan, slots: list[Slot], executor: Executor, lanes: int | None
    ) -> None:
        self.study, self.slots, self.executor, self.lanes = study, slots, executor, lanes
        self.told: dict[str, str] = {}
        self._jobs: dict[int, tuple[Work, Job]] = {}
        self._queue: list[Work] = []
        self._prepared: set[Hashable] = set()
        self._unsent: list[Run] = []
        self._elsewhere: list[Run] = []
        self._stopping = False
        for run in plan.runs:
            status = record.status(self._dir(run))
            if status is Status.running:
                self._elsewhere.append(run)
            elif status is not Status.done:
                self._take(run)

    @property
    def active(self) -> bool:
        if self._stopping:
            return bool(self._jobs)
        return bool(self._jobs or self._queue or self._unsent or self._elsewhere)

    @property
    def jobs(self) -> list[Job]:
        """The jobs at work now."""
        return [job for _, job in self._jobs.values()]

    @property
    def phase(self) -> str:
        """What the jobs do, in a few words."""
        preparing = [
            run.config.culture
            for work, _ in self._jobs.values()
            for run in work.runs
            if work.verb == "prepare"
        ]
        if self._stopping:
            return "stopping: the jobs save what they have"
        return f"preparing {', '.join(sorted(set(preparing)))}" if preparing else ""

    @property
    def queued(self) -> set[str]:
        """The ids of the runs that no job has been sent for yet."""
        waiting = [run for work in self._queue if work.verb == "execute" for run in work.runs]
        return {run.run_id for run in [*self._unsent, *waiting]}

    @property
    def sent(self) -> set[str]:
        """The ids of the runs that a job at work has been sent for."""
        return {run.run_id for work, _ in self._jobs.values() if work.verb == "execute" for run in work.runs}

    def step(self) -> None:
        self._reap()
        if self._stopping:
            return
        self._take_over()
        if self._unsent and not self._queue and not self._jobs:
            self._enqueue()
        self._start()

    def stop(self) -> None:
        """Ask the jobs to save and stop; send nothing more."""
        self._stopping = True
        for job in self.jobs:
            job.cancel()

    def kill(self) -> None:
        """End the jobs at once; what they saved last is kept."""
        self._stopping = True
        for job in self.jobs:
            job.kill()

    def _dir(self, run: Run) -> RunDir:
        return self.study.run(run.run_id)

    def _take(self, run: Run) -> None:
        """Make the run ours to send: its config is written, and a failure of an earlier attempt set aside."""
        store.write_config(self.study, run)
        if record.failure(self._dir(run)) is not None:
            record.start_attempt(self._dir(run))
        self._unsent.append(run)

    def _take_over(self) -> None:
        """Take the runs whose worker, left by an earlier launcher, ended without a result."""
        for run in list(self._elsewhere):
            status = record.status(self._dir(run))
            if status is not Status.running:
                self._elsewhere.remove(run)
                if status in (Status.lost, Status.planned):
                    self._take(run)

    def _enqueue(self) -> None:
        """Queue what the unsent runs need next: their cultures' preparation, then packs of them."""
        first: dict[Hashable, Run] = {}
        for run in self._unsent:
            if _material(run) not in self._prepared:
                first.setdefault(_material(run), run)
        if first:
            leads = list(first.values())
            jobs = min(len(self.slots), len(leads))
            self._queue = [Work("prepare", tuple(leads[i::jobs])) for i in range(jobs)]
            return
        packs = pack.pack(self._unsent, len(self.slots), self.lanes)
        self._queue = [Work("execute", p.runs) for p in packs]
        self._unsent = []

    def _start(self) -> None:
        if not self._queue:
            return
        # Workers that an earlier launcher left on this machine have their share of it still.
        owners = [claim.alive(self._dir(run).claim) for run in self._elsewhere]
        others = {owner.pid for owner in owners if owner is not None and owner.host == socket.gethostname()}
        while self._queue and len(self._jobs) + len(others) < len(self.slots):
            free = next(i for i in range(len(self.slots)) if i not in self._jobs)
            work = self._queue.pop(0)
            paths = [self._dir(run).path for run in work.runs]
            self._jobs[free] = work, self.executor.submit(work.verb, paths, self.slots[free])

    def _reap(self) -> None:
        for i, (work, job) in list(self._jobs.items()):
            code = job.poll()
            if code is None:
                continue
            del self._jobs[i]
            if self._stopping:
                continue
            if work.verb == "prepare":
                self._end_preparation(work, job, code)
            elif code not in TOLD:
                for run in work.runs:
                    self._end_untold(run, job, code)

    def _end_preparation(self, work: Work, job: Job, code: int) -> None:
        for lead in work.runs:
            found = record.failure(self._dir(lead))
            if found is None and code >= 0 and code != INTERRUPTED:
                self._prepared.add(_material(lead))
                continue
            same = [run for run in self._unsent if _material(run) == _material(lead)]
            self._unsent = [run for run in self._unsent if run not in same]
            if code == INTERRUPTED:
                continue
            message = (
                str(found["message"])
                if found
                else f"{_ending(code)}, while it prepared {lead.config.culture}"
            )
            for run in same:
                record.write_failure(self._dir(run), "preparation", f"{message} (log: {job.log})", 0)

    def _end_untold(self, run: Run, job: Job, code: int) -> None:
        """A job broke off: what became of its run is known to nobody but us."""
        folder = self._dir(run)
        status = record.status(folder)
        if status is Status.planned:
            record.write_failure(
                folder, "job", f"{_ending(code)} before it came to this run (log: {job.log})", 0
            )
        elif status is Status.lost:
            self.told[run.run_id] = f"{_ending(code)} (log: {job.log})"


def _material(run: Run) -> Hashable:
    """What a preparation serves: runs that agree in this share it."""
    return run.config.culture, run.config.model, run.config.data


def _ending(code: int) -> str:
    if code < 0:
        return f"its job was killed ({signal.Signals(-code).name})"
    return f"its job ended with exit code {code}"
