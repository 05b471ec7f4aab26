"""How far a study is, read from its runs' files: cheap enough to be asked several times a second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any

from scoft_hpc.runs import record
from scoft_hpc.runs.layout import RunDir, StudyDir
from scoft_hpc.runs.record import Status


@dataclass(frozen=True)
class Lane:
    """A planned run as its files tell it: `step` of `steps` updates made, `samples` pictures drawn."""

    run_id: str
    culture: str
    variant: str
    seed: int
    status: Status
    step: int
    steps: int
    samples: int


class Progress:
    """Reads the lanes of a study, again and again; what is done is not looked at twice."""

    def __init__(self, study: StudyDir, runs: list[dict[str, Any]]) -> None:
        """`runs` are the plan's entries."""
        self._entries = [(run, study.run(run["run_id"])) for run in runs]
        self._done: dict[str, Lane] = {}

    def read(self, queued: Set[str] = frozenset()) -> list[Lane]:
        """All lanes in the plan's order; those in `queued` wait for a job, which their files cannot tell."""
        lanes = []
        for run, folder in self._entries:
            lane = self._done.get(folder.run_id) or _read(run, folder, folder.run_id in queued)
            if lane.status is Status.done:
                self._done[folder.run_id] = lane
            lanes.append(lane)
        return lanes


def state(lane: Lane) -> str:
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


def counts(lanes: Sequence[Lane]) -> str:
    """Such as `12 done, 1 failed, 12 running`."""
    found = Counter(lane.status for lane in lanes)
    order = (Status.done, Status.failed, Status.lost, Status.running, Status.queued, Status.planned)
    return ", ".join(f"{found[status]} {status.value}" for status in order if found[status])


def _read(run: dict[str, Any], folder: RunDir, queued: bool) -> Lane:
    status = record.status(folder)
    if queued and status in (Status.planned, Status.lost):
        status = Status.queued
    steps = int(run.get("steps", 0))
    step = record.step(folder) if steps else 0
    samples = _pictures(folder) if step >= steps else 0
    return Lane(run["run_id"], run["culture"], run["variant"], run["seed"], status, step, steps, samples)


def _pictures(folder: RunDir) -> int:
    try:
        return sum(path.suffix == ".png" and path.name[0] != "." for path in folder.samples.iterdir())
    except FileNotFoundError:
        return 0
