"""How far a study is, read from its runs' files: cheap enough for several times a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from scoft_hpc.launch.slurm import sbatch
from scoft_hpc.launch.tracking.study_state import StudyState
from scoft_hpc.study import metrics_log, run_status
from scoft_hpc.study.paths import RunDir, StudyDir
from scoft_hpc.study.plan_file import PlannedRun, log_number
from scoft_hpc.study.run_status import Status


@dataclass(frozen=True)
class RunProgress:
    """A planned run as its files tell it: `step` of `steps` updates made, `samples` pictures drawn.

    Attributes:
        cause: why it is failed or lost. note: a detail of the state, such as Slurm's reason for a wait.
        eta_seconds: of training that is left; None where it does not train or there is no pace yet.
    """

    run_id: str
    culture: str
    variant: str
    seed: int
    status: Status
    step: int
    steps: int
    samples: int
    cause: str | None = None
    note: str = ""
    eta_seconds: float | None = None


class ProgressReader:
    """Reads the lanes of a study repeatedly; a lane that is done is not read again."""

    def __init__(self, study: StudyDir, runs: Sequence[PlannedRun]) -> None:
        self._study = study
        self._entries = [(run, study.run(run.run_id)) for run in runs]
        self._done: dict[str, RunProgress] = {}

    def read(self, queued: Set[str] = frozenset()) -> list[RunProgress]:
        """All lanes in the plan's order; those in `queued` wait for a job, which their files cannot tell."""
        lanes = []
        for run, folder in self._entries:
            lane = self._done.get(folder.run_id) or _read(run, folder, _status(folder, queued))
            if lane.status is Status.done:
                self._done[folder.run_id] = lane
            lanes.append(lane)
        return lanes

    def read_with_queue(self, seen: StudyState) -> list[RunProgress]:
        """All lanes in the plan's order, in the states that `seen` has found; steps, pictures and ends are of now."""
        with ThreadPoolExecutor(8) as pool:
            lanes = list(
                pool.map(lambda entry: self._read_run_with_queue(entry[0], entry[1], seen), self._entries)
            )
        self._done.update({lane.run_id: lane for lane in lanes if lane.status is Status.done})
        return _with_etas(lanes, seen, self._study)

    def _read_run_with_queue(self, run: PlannedRun, folder: RunDir, seen: StudyState) -> RunProgress:
        if folder.run_id in self._done:
            return self._done[folder.run_id]
        state = seen.states[folder.run_id]
        if state.status is Status.done or folder.result.exists():
            return _read(run, folder, Status.done)
        return replace(_read(run, folder, state.status), cause=state.cause, note=state.note)


def describe(lane: RunProgress) -> str:
    """What the lane does, in a word or two."""
    if lane.status is Status.planned and lane.step:
        return f"{lane.step}/{lane.steps} saved"
    if lane.status is not Status.running:
        return str(lane.status.value)
    if lane.samples:
        return f"{lane.samples} drawn"
    if lane.step < lane.steps:
        return "training" if lane.step else "starting"
    return "drawing" if lane.steps else "waiting"  # a base has to wait until its neighbours are trained


def counts(lanes: Sequence[RunProgress]) -> str:
    """Such as `12 done, 1 failed, 12 running`; what was lost is counted by its cause, where that is known."""
    counts = Counter((lane.status, status_label(lane)) for lane in lanes)
    order = (Status.done, Status.failed, Status.lost, Status.running, Status.queued, Status.planned)
    return ", ".join(
        f"{count} {text}" for wanted in order for (status, text), count in counts.items() if status is wanted
    )


def status_label(lane: RunProgress) -> str:
    """The lane's state, or why it was lost."""
    return lane.cause or "lost" if lane.status is Status.lost else str(lane.status.value)


def logs(study: StudyDir, seen: StudyState) -> dict[str, Path]:
    """What the last job of each run printed, by run id; runs of which no job has printed anything are left out."""
    logs = {}
    for path in sorted(study.logs.glob("*.log"), key=log_number):
        with path.open(errors="replace") as file:
            logs.update(dict.fromkeys(file.readline().split(), path))  # the first line names the runs
    for state in seen.states.values():
        if state.place is not None and state.place.array.job:
            printed = sbatch.log_of(study, state.place.array.job, state.place.task)
            if printed.exists():
                logs[state.run_id] = printed
    return {run: path for run, path in logs.items() if run in seen.states}


def _status(folder: RunDir, queued: Set[str]) -> Status:
    status = run_status.status(folder)
    waits = folder.run_id in queued and status in (Status.planned, Status.lost)
    return Status.queued if waits else status


def _read(run: PlannedRun, folder: RunDir, status: Status) -> RunProgress:
    step = run_status.step(folder) if run.steps else 0
    samples = run_status.images(folder.samples) if step >= run.steps else 0
    return RunProgress(run.run_id, run.culture, run.variant, run.seed, status, step, run.steps, samples)


def _with_etas(lanes: Sequence[RunProgress], seen: StudyState, study: StudyDir) -> list[RunProgress]:
    """A step takes its lane's share of the time, as the journal counts it, for every lane that trains beside it."""
    training = {
        lane.run_id: seen.files[lane.run_id].owner
        for lane in lanes
        if lane.status is Status.running and lane.step < lane.steps
    }
    packs = Counter((owner.host, owner.pid) for owner in training.values() if owner)
    timed = []
    for lane in lanes:
        owner = training.get(lane.run_id)
        row = metrics_log.last(study.run(lane.run_id).metrics) if owner else None
        if owner and row and row.get("seconds"):
            step_seconds = float(row["seconds"]) / row[metrics_log.STEP] * packs[owner.host, owner.pid]
            lane = replace(lane, eta_seconds=(lane.steps - lane.step) * step_seconds)
        timed.append(lane)
    return timed
