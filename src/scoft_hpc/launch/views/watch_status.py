"""The status of a study, shown again and again until all its runs have ended."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence

from rich.console import Console, Group
from rich.live import Live

from scoft_hpc.console import print_now
from scoft_hpc.launch.tracking.study_state import StudyState
from scoft_hpc.launch.views.live_display import PlainView
from scoft_hpc.launch.views.run_progress import ProgressReader, RunProgress
from scoft_hpc.launch.views.selection import Selection
from scoft_hpc.launch.views.study_status import chosen_lanes, screen
from scoft_hpc.study import lease
from scoft_hpc.study.plan_file import launch_lease
from scoft_hpc.study.run_status import Status

FILES_SECONDS = 2.0
"""Between two readings of the runs' files under --watch."""
QUEUE_SECONDS, MAX_QUEUE_SECONDS = 10.0, 60.0
"""Between two queries of Slurm: the time grows while nothing changes, since the controller serves the whole site."""
HEARTBEAT_SECONDS = 60.0
"""Between two lines of --watch where there is no terminal and nothing changes."""


def watch(selected: Selection, progress: ProgressReader) -> None:
    """Show the study until all its runs have ended.

    The files are read every two seconds. Slurm is queried every ten at most, and less and less often while nothing
    changes.
    """
    console = Console()
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    plain = PlainView(print_now, heartbeat=HEARTBEAT_SECONDS)
    seen = selected.read_state()
    queried, pause = time.monotonic(), QUEUE_SECONDS
    with live or contextlib.nullcontext():
        while True:
            lanes = chosen_lanes(selected, seen, progress.read_with_queue(seen))
            over = not _going_on(selected, seen, lanes)
            if over:
                seen = selected.read_state()
            if live:
                live.update(Group(*screen(selected, seen, lanes)), refresh=True)
            else:
                plain.show(lanes, seen.warnings[0] if seen.warnings else "")
            if over:
                return
            time.sleep(FILES_SECONDS)
            if not seen.arrays or time.monotonic() - queried >= pause:
                before, seen, queried = seen, selected.read_state(), time.monotonic()
                same = _labels(before) == _labels(seen)
                pause = min(1.5 * pause, MAX_QUEUE_SECONDS) if same else QUEUE_SECONDS


def _going_on(selected: Selection, seen: StudyState, lanes: Sequence[RunProgress]) -> bool:
    """Whether any of the lanes may still change by itself."""
    if all(lane.status is Status.done for lane in lanes):
        return False
    at_work = (Status.running, Status.queued)
    alive = any(lane.status in at_work and seen.states[lane.run_id].in_queue for lane in lanes)
    return alive or lease.live_owner(launch_lease(selected.study)) is not None


def _labels(seen: StudyState) -> list[tuple[Status, str]]:
    return [(state.status, state.note) for state in seen.states.values()]
