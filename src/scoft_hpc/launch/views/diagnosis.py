"""Why runs are as they are, and what to do: cause, attempts, what happens next, and the end of the log."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from scoft_hpc.errors import RunError
from scoft_hpc.launch.tracking import slurm_reasons
from scoft_hpc.launch.tracking.retry_policy import LOST, cause_of_slurm_state
from scoft_hpc.launch.tracking.run_state import RunState
from scoft_hpc.launch.tracking.study_state import StudyState
from scoft_hpc.launch.views.run_progress import logs
from scoft_hpc.launch.views.selection import Selection
from scoft_hpc.launch.views.study_summary import clock
from scoft_hpc.study import run_status
from scoft_hpc.study.job_array import Attempt, JobArray
from scoft_hpc.study.plan_file import display_path
from scoft_hpc.study.run_status import BROKEN, Status
from scoft_hpc.text import duration

FROM_OUTSIDE = ("cancelled", "preempted", "time limit", "node")
"""Causes about which the log says nothing."""
MAX_SHOWN = 5
"""Runs, or packs of runs that ended alike, that are explained; the others are named."""
MAX_NAMED = 20
"""Of the others."""
SEARCHED_LINES, SHOWN_LINES = 400, 14
"""Of a log's last lines."""
CAME_TO_ITS_END = "came to its end"
DATED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")
"""How a new message begins in a log."""


def diagnoses(selected: Selection, seen: StudyState, states: Sequence[RunState]) -> Iterator[str]:
    """Lines about each of the runs, with an empty one after each; of too many, the names of the rest."""
    printed = logs(selected.study, seen)
    groups = _alike(seen, states)
    for alike in groups[:MAX_SHOWN]:
        yield from _about(selected, seen, alike, printed.get(alike[0].run_id))
        yield ""
    rest = [state.run_id for alike in groups[MAX_SHOWN:] for state in alike]
    if rest:
        more = " …" if len(rest) > MAX_NAMED else ""
        yield f"… and {len(rest)} more: {' '.join(rest[:MAX_NAMED])}{more}"


def _alike(seen: StudyState, states: Sequence[RunState]) -> list[list[RunState]]:
    """The runs in groups that are explained once: those of one job with one cause."""
    groups: dict[tuple[object, ...], list[RunState]] = {}
    for state in states:
        failure = seen.files[state.run_id].failure or {}
        job = (state.place.array.name, state.place.task) if state.place else state.run_id
        key = (job, state.status, state.cause, state.note, failure.get("message"))
        groups.setdefault(key, []).append(state)
    return list(groups.values())


def _about(
    selected: Selection, seen: StudyState, alike: Sequence[RunState], log: Path | None
) -> Iterator[str]:
    state, *others = alike
    cause = f", {state.cause}" if state.cause and state.cause != state.status.value else ""
    yield f"{state.run_id}: {state.status.value}{cause}"
    if others:
        yield f"  {'also':<9} {' '.join(other.run_id for other in others)}"
    steps = next(run.steps for run in selected.entries if run.run_id == state.run_id)
    for key, text in _facts(selected, seen, state, int(steps)):
        yield f"  {key:<9} {text}"
    for n, line in enumerate(_attempts(selected, seen, state), start=1):
        yield f"  {'attempts' if n == 1 else '':<9} {n}. {line}"
    if state.status in BROKEN:
        yield f"  {'next':<9} {slurm_reasons.next_step(state)}"
    if log is not None:
        yield f"  {'log':<9} {display_path(log)}"
        if state.status in BROKEN and state.cause not in FROM_OUTSIDE:
            yield from (f"  {'':<9} | {line}" for line in _relevant(log, state.run_id))


def _facts(selected: Selection, seen: StudyState, state: RunState, steps: int) -> Iterator[tuple[str, str]]:
    """What there is to say of the state itself, as (key, text)."""
    run, now = selected.study.run(state.run_id), time.time()
    failure = seen.files[state.run_id].failure
    if state.status is Status.failed and failure is not None:
        yield "what", str(failure["message"])
        ago = duration(max(0.0, now - failure["time"]))
        yield "when", f"{clock(failure['time'], now)} ({ago} ago){_at(failure['step'], steps)}"
    elif state.status is Status.lost:
        yield "what", state.note or _slurm_ending(state) or "its job ended without recording a reason"
        if steps:
            yield "when", f"at step {run_status.step(run)} of {steps}; what was saved last is kept"
    elif state.status is Status.queued:
        yield "what", f"it waits: {slurm_reasons.explain_wait(state.note)}"
    elif state.status is Status.running:
        yield (
            "what",
            f"it is at work{_at(run_status.step(run), steps)}" + (f" ({state.note})" if state.note else ""),
        )
    elif state.status is Status.done:
        yield "what", f"it is done; its results lie in {display_path(run.path)}"
    else:
        yield "what", "it was not submitted yet; the sweep command does that"


def _at(step: int, steps: int) -> str:
    return f", at step {step} of {steps}" if steps else ""


def _slurm_ending(state: RunState) -> str:
    record = state.place.array.accounting.get(state.place.task) if state.place else None
    return f"Slurm ended its job: {record.state}" if record else ""


def _attempts(selected: Selection, seen: StudyState, state: RunState) -> Iterator[str]:
    """A line for each start of a job of the run, up to the one that published it: later ones were for its pack."""
    published = _published(selected, state)
    for array in seen.arrays:
        for attempt in array.attempts:
            if state.run_id in attempt.progress:
                last = (attempt.job, attempt.restart) == published
                yield _attempt(array, attempt, state, last)
                if last:
                    return


def _published(selected: Selection, state: RunState) -> tuple[str, int] | None:
    """The job and the start of it that made the run's result; None if there is none, or none of Slurm's made it."""
    if state.status is not Status.done:
        return None
    result = run_status.result(selected.study.run(state.run_id))
    return (result["job"], result["restart"]) if result.get("job") else None


def _attempt(array: JobArray, attempt: Attempt, state: RunState, published: bool) -> str:
    at_work = (
        state.place is not None and state.in_queue and attempt == state.place.array.last(state.place.task)
    )
    if published:  # the job may go on, for its pack or with its own end
        ended, seconds = CAME_TO_ITS_END, attempt.seconds
    elif at_work and attempt.ended is None:
        ended, seconds = "at work", time.time() - attempt.started
    else:
        ended, seconds = _ending(array, attempt), attempt.seconds
    started = f"{clock(attempt.started, time.time())} on {attempt.host}, job {attempt.job}"
    saved = attempt.progress[state.run_id]
    from_save = f", from what was saved ({saved})" if saved else ""
    return f"{started}, {duration(seconds)}{from_save}: {ended}"


def _ending(array: JobArray, attempt: Attempt) -> str:
    """How an attempt ended: as it recorded itself, else as Slurm records its last one."""
    record = array.accounting.get(attempt.task) if attempt == array.last(attempt.task) else None
    by_slurm = cause_of_slurm_state(record.state) if record else LOST
    reason = f"{by_slurm} ({record.state})" if record else ""
    if attempt.ended is None:
        return f"killed before it could write why{f', {reason}' if reason else ''}"
    if attempt.cause == LOST and by_slurm != LOST:
        return reason
    if attempt.cause is not None:
        return attempt.cause + (f", {attempt.note}" if attempt.note else "")
    if attempt.code in (0, RunError.exit_code):
        return CAME_TO_ITS_END + (", but runs failed" if attempt.code else "")
    return reason or f"ended with exit code {attempt.code}"


def _relevant(log: Path, run_id: str) -> Sequence[str]:
    """The last message that the run failed with its trace, else the last trace, else the last lines."""
    with log.open(errors="replace") as file:
        lines = [line.rstrip() for line in deque(file, SEARCHED_LINES) if line.strip()]
    failed = [n for n, line in enumerate(lines) if run_id in line and "failed" in line]
    traces = [n for n, line in enumerate(lines) if line.startswith("Traceback")]
    if not failed and not traces:
        return lines[-SHOWN_LINES:]
    start = (failed or traces)[-1]
    later = (n for n in range(start + 1, len(lines)) if DATED.match(lines[n]))
    block = lines[start : next(later, len(lines))]
    return block if len(block) <= SHOWN_LINES else [block[0], "…", *block[2 - SHOWN_LINES :]]
