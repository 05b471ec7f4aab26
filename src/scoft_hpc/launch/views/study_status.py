"""How far a study is, as `scoft-hpc status` shows it: on a terminal and as JSON."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import RenderableType
from rich.text import Text

from scoft_hpc.launch.tracking.study_state import StudyState
from scoft_hpc.launch.views import study_summary, tables
from scoft_hpc.launch.views.run_progress import RunProgress, counts, logs, status_label
from scoft_hpc.launch.views.selection import Selection
from scoft_hpc.study import lease
from scoft_hpc.study.plan_file import display_path, launch_lease
from scoft_hpc.study.run_status import BROKEN, Status
from scoft_hpc.text import duration, listing, shorten

MAX_SHOWN, MAX_NAMED = 8, 3
"""Reasons of failed and lost runs that are shown, and runs that are named with each."""
CANCELLED = "cancelled"
"""The cause of what the user asked for."""
MAX_REASON_LENGTH = 200
"""Characters of a reason; `why` shows all of it."""


def chosen_lanes(selected: Selection, seen: StudyState, lanes: Sequence[RunProgress]) -> list[RunProgress]:
    """The lanes in the states that were asked for."""
    names = {state.run_id for state in selected.filter(seen)}
    return [lane for lane in lanes if lane.run_id in names]


def screen(selected: Selection, seen: StudyState, lanes: Sequence[RunProgress]) -> list[RenderableType]:
    """The table of the runs, and lines below it that are not to be wrapped, so that paths can be copied."""
    study = selected.study
    parts: list[RenderableType] = [tables.status_table(lanes), ""] if lanes else []
    lines = [f"study {study.name}: {len(lanes)} runs{', ' * bool(lanes)}{counts(lanes)}{_by(selected, seen)}"]
    lines += [line] if (line := _cost_and_time(seen, lanes)) else []
    broken = [lane for lane in lanes if lane.status in BROKEN]
    unrequested = [lane for lane in broken if lane.cause != CANCELLED]
    lines += _reasons(selected, unrequested)
    if unrequested:
        lines.append(f"`scoft-hpc why {unrequested[0].run_id}` says what to do.")
    if len(unrequested) < len(broken):
        lines.append("`scoft-hpc retry` sends what was cancelled again.")
    lines += [f"note: {note}" for note in seen.warnings]
    if lanes and all(lane.status is Status.done for lane in lanes):
        has_report = study.report.exists()
        lines.append(
            f"report: {display_path(study.report)}" if has_report else "`scoft-hpc gather` makes the report"
        )
    return [*parts, *map(Text, lines)]


def _by(selected: Selection, seen: StudyState) -> str:
    """Who launches the study: for Slurm, that is only while jobs are being sent."""
    launcher = lease.live_owner(launch_lease(selected.study))
    if launcher is None:
        return ""
    return f", being sent by {launcher}" if seen.arrays else f", run by {launcher}"


def _cost_and_time(seen: StudyState, lanes: Sequence[RunProgress]) -> str:
    now = time.time()
    parts = []
    if seen.arrays:
        parts.append(f"{seen.cost.su:.2f} SU so far of about {seen.cost.estimated_su:.2f} estimated")
        parts.append(study_summary.jobs(seen, now))
    remaining = study_summary.time_remaining(seen, lanes, now)
    if remaining is not None:
        parts.append(f"{'at least' if remaining.more else 'about'} {duration(remaining.seconds)} left")
    return ", ".join(filter(None, parts))


def _reasons(selected: Selection, lanes: Sequence[RunProgress]) -> list[str]:
    """A line for the runs that broke for one reason."""
    groups: dict[str, list[str]] = {}
    for lane in lanes:
        groups.setdefault(_reason(selected, lane), []).append(lane.run_id)
    lines = [f"{listing(names, MAX_NAMED)}: {why}" for why, names in groups.items()]
    return shorten(lines, MAX_SHOWN, "more reasons")


def _reason(selected: Selection, lane: RunProgress) -> str:
    why = tables.reason(selected.study.run(lane.run_id), lane.note)
    if lane.status is Status.lost and lane.cause != Status.lost.value:
        why = f" at step {lane.step}{f': {lane.note}' if lane.note else ''}"
    return textwrap.shorten(f"{status_label(lane)}{why}", MAX_REASON_LENGTH, placeholder=" …")


def as_json(selected: Selection, seen: StudyState, lanes: Sequence[RunProgress]) -> str:
    """The same for programs."""
    launcher = lease.live_owner(launch_lease(selected.study))
    printed = logs(selected.study, seen)
    runs = []
    for lane in lanes:
        state = seen.states[lane.run_id]
        log = printed.get(lane.run_id)
        runs.append(
            {
                **asdict(lane),
                "status": lane.status.value,
                "job": state.place.job if state.place else "",
                "log": str(log) if log else None,
                "failure": seen.files[lane.run_id].failure,
                "tries": state.tries,
            }
        )
    content = {
        "study": selected.study.name,
        "folder": str(selected.study.path),
        "launcher": str(launcher) if launcher else None,
        "spent_su": round(seen.cost.su, 4),
        "estimated_su": round(seen.cost.estimated_su, 4),
        "notes": list(seen.warnings),
        "runs": runs,
    }
    return json.dumps(content, indent=1)
