"""What a run's jobs print: the log to the standard output, everything about it to the standard error."""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path

from scoft_hpc.console import print_stderr
from scoft_hpc.launch.tracking import slurm_reasons
from scoft_hpc.launch.tracking.run_state import RunState
from scoft_hpc.launch.tracking.study_state import StudyState
from scoft_hpc.launch.views.run_progress import logs
from scoft_hpc.launch.views.selection import Selection
from scoft_hpc.study import lease
from scoft_hpc.study.plan_file import display_path, launch_lease
from scoft_hpc.study.run_status import Status
from scoft_hpc.text import listing

READ_SECONDS = 0.5
"""Between two readings of the log under -f."""
LOCAL_SECONDS, QUEUE_SECONDS = 2.0, 10.0
"""Between two readings of the run's state under -f, on this machine and where Slurm is queried."""
CHUNK = 1 << 16
MAX_SHOWN = 4
"""Of a pack's other runs, by name."""


def show(selected: Selection, seen: StudyState, run: str, lines: int | None) -> Path | None:
    """Print the log of the run's last job, or its last `lines`; return where it is, None if there is none yet."""
    path = logs(selected.study, seen).get(run)
    if path is None:
        print_stderr(f"{run} has printed nothing yet: {_how(seen.states[run])}.")
        return None
    _introduce(selected, seen, run, path)
    with path.open(errors="replace") as file:
        sys.stdout.writelines(deque(file, lines))
    sys.stdout.flush()
    return path


def follow(selected: Selection, seen: StudyState, run: str, path: Path | None) -> None:
    """Print what comes, of this log and of later jobs' ones, until the run has ended."""
    position = path.stat().st_size if path else 0
    looked, state = time.monotonic(), _how(seen.states[run])
    while True:
        position = _print_from(path, position) if path else 0
        if _ended(selected, seen.states[run]):
            print_stderr(f"{run}: {_how(seen.states[run])}.")
            return
        time.sleep(READ_SECONDS)
        if time.monotonic() - looked < (QUEUE_SECONDS if seen.arrays else LOCAL_SECONDS):
            continue
        seen, looked = selected.read_state(), time.monotonic()
        newest = logs(selected.study, seen).get(run)
        if newest is not None and newest != path:
            if path:
                _print_from(path, position)
            _introduce(selected, seen, run, newest)
            path, position = newest, 0
        elif path is None and _how(seen.states[run]) != state:
            state = _how(seen.states[run])
            print_stderr(f"{run}: {state}.")


def _introduce(selected: Selection, seen: StudyState, run: str, path: Path) -> None:
    print_stderr(display_path(path))
    others = [other for other, log in logs(selected.study, seen).items() if log == path and other != run]
    if others:
        print_stderr(f"(of a pack: {run} shares it with {listing(others, MAX_SHOWN)})")


def _print_from(path: Path, position: int) -> int:
    """Print what was appended; return where the next look begins."""
    with path.open("rb") as file:
        file.seek(position)
        while chunk := file.read(CHUNK):
            sys.stdout.write(chunk.decode(errors="replace"))
            position += len(chunk)
    sys.stdout.flush()
    return position


def _ended(selected: Selection, state: RunState) -> bool:
    """Whether no job of the run comes any more; one that was not sent yet may still be, by its launcher."""
    if state.status is Status.planned:
        return lease.live_owner(launch_lease(selected.study)) is None
    return state.status not in (Status.running, Status.queued)


def _how(state: RunState) -> str:
    """The run's state as a phrase."""
    if state.status is Status.queued:
        return f"it waits in the queue: {slurm_reasons.explain_wait(state.note)}"
    if state.status is Status.planned:
        return "it was not submitted yet; `scoft-hpc sweep` does that"
    cause = f" ({state.cause})" if state.cause and state.cause != state.status.value else ""
    return f"{state.status.value}{cause}"
