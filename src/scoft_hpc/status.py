"""How far a study is: culture by variant, its jobs, its cost, and what broke.

    python -m scoft_hpc.status [STUDY] [RUN ...] [culture=korea variant=mpc seed=0 state=failed] [--watch] [--json]

Without a name it is the latest study. `--watch` stays until every run has ended, and asks Slurm seldom.
"""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.tracking.study_state import Situation
from scoft_hpc.launch.views import selection, study_summary, tables
from scoft_hpc.launch.views.live import PlainView, duration
from scoft_hpc.launch.views.run_progress import Lane, Progress, counts, logs, word
from scoft_hpc.launch.views.selection import Choice
from scoft_hpc.study import lease
from scoft_hpc.study.plan_file import launch_claim, near
from scoft_hpc.study.run_status import Status

SHOWN, NAMED = 8, 3
"""So many reasons of failed and lost runs are told, and so many runs named with each."""
CANCELLED = "cancelled"
"""The cause that a person knows of."""
LINE = 200
"""Letters of a reason; `why` tells the rest."""

FILES_SECONDS = 2.0
"""Between two looks at the runs' files under --watch."""
QUEUE_SECONDS, MOST_QUEUE_SECONDS = 10.0, 60.0
"""Between two questions to Slurm: the time grows while nothing changes, since the controller serves the whole site."""
HEARTBEAT_SECONDS = 60.0
"""Between two lines of --watch where there is no terminal and nothing changes."""


def main() -> int:
    return selection.answer(_main)


def _main() -> int:
    parser = selection.parser("status", "How far a study is.")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--watch", action="store_true", help="stay, and show how it goes")
    choice = selection.choose(parser, sys.argv[1:])
    if choice.flags.json and choice.flags.watch:
        raise ConfigError("--watch is for people, --json for programs: take one of them.")
    progress = Progress(choice.study, choice.chosen)
    if choice.flags.watch:
        _watch(choice, progress)
        return 0
    seen = choice.look()
    lanes = _fitting(choice, seen, progress.told(seen))
    if choice.flags.json:
        print(_as_json(choice, seen, lanes))
    else:
        console = Console()
        for part in _screen(choice, seen, lanes):
            console.print(part, soft_wrap=isinstance(part, Text))
    return 0


def _fitting(choice: Choice, seen: Situation, lanes: Sequence[Lane]) -> list[Lane]:
    """The lanes in the states that were asked for."""
    names = {state.run_id for state in choice.pick(seen)}
    return [lane for lane in lanes if lane.run_id in names]


def _screen(choice: Choice, seen: Situation, lanes: Sequence[Lane]) -> list[RenderableType]:
    """What a person sees; paths and reasons are not wrapped, so that they can be copied."""
    study = choice.study
    parts: list[RenderableType] = [tables.status_table(lanes), ""] if lanes else []
    told = [f"study {study.name}: {len(lanes)} runs{', ' * bool(lanes)}{counts(lanes)}{_by(choice, seen)}"]
    told += [line] if (line := _cost_and_time(seen, lanes)) else []
    broken = [lane for lane in lanes if lane.status in (Status.failed, Status.lost)]
    unasked = [lane for lane in broken if lane.cause != CANCELLED]
    told += _reasons(choice, unasked)
    if unasked:
        told.append(f"`scoft-hpc why {unasked[0].run_id}` tells what to do.")
    if len(unasked) < len(broken):
        told.append("`scoft-hpc retry` sends what was cancelled again.")
    told += [f"note: {note}" for note in seen.notes]
    if lanes and all(lane.status is Status.done for lane in lanes):
        made = study.report.exists()
        told.append(f"report: {near(study.report)}" if made else "`scoft-hpc gather` makes the report")
    return [*parts, *map(Text, told)]


def _by(choice: Choice, seen: Situation) -> str:
    """Who launches the study: for Slurm, that is only while jobs are being sent."""
    launcher = lease.alive(launch_claim(choice.study))
    if launcher is None:
        return ""
    return f", being sent by {launcher}" if seen.batches else f", run by {launcher}"


def _cost_and_time(seen: Situation, lanes: Sequence[Lane]) -> str:
    now = time.time()
    words = []
    if seen.batches:
        words.append(f"{seen.cost.su:.2f} SU so far of about {seen.cost.estimated_su:.2f} estimated")
        words.append(study_summary.jobs(seen, now))
    left = study_summary.left(seen, lanes, now)
    if left is not None:
        words.append(f"{'at least' if left.more else 'about'} {duration(left.seconds)} left")
    return ", ".join(filter(None, words))


def _reasons(choice: Choice, lanes: Sequence[Lane]) -> list[str]:
    """A line for the runs that broke for one reason."""
    groups: dict[str, list[str]] = {}
    for lane in lanes:
        groups.setdefault(_reason(choice, lane), []).append(lane.run_id)
    told = []
    for why, names in list(groups.items())[:SHOWN]:
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        told.append(f"{', '.join(names[:NAMED])}{more}: {why}")
    return [*told, f"… and {len(groups) - SHOWN} more reasons"] if len(groups) > SHOWN else told


def _reason(choice: Choice, lane: Lane) -> str:
    why = tables.reason(choice.study.run(lane.run_id), lane.note)
    if lane.status is Status.lost and lane.cause != Status.lost.value:
        why = f" at step {lane.step}{f': {lane.note}' if lane.note else ''}"
    return textwrap.shorten(f"{word(lane)}{why}", LINE, placeholder=" …")


def _watch(choice: Choice, progress: Progress) -> None:
    """Show the study until all its runs have ended.

    The files are looked at every two seconds. Slurm is asked no oftener than every ten, and ever less often while it
    has nothing new to say.
    """
    console = Console()
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    plain = PlainView(lambda text: print(text, flush=True), heartbeat=HEARTBEAT_SECONDS)
    seen = choice.look()
    asked, pause = time.monotonic(), QUEUE_SECONDS
    if live:
        live.start()
    try:
        while True:
            lanes = _fitting(choice, seen, progress.told(seen))
            over = not _going_on(choice, seen, lanes)
            if over:
                seen = choice.look()
            if live:
                live.update(Group(*_screen(choice, seen, lanes)), refresh=True)
            else:
                plain.show(lanes, seen.notes[0] if seen.notes else "")
            if over:
                return
            time.sleep(FILES_SECONDS)
            if not seen.batches or time.monotonic() - asked >= pause:
                before, seen, asked = seen, choice.look(), time.monotonic()
                same = _words(before) == _words(seen)
                pause = min(1.5 * pause, MOST_QUEUE_SECONDS) if same else QUEUE_SECONDS
    finally:
        if live:
            live.stop()


def _going_on(choice: Choice, seen: Situation, lanes: Sequence[Lane]) -> bool:
    """Whether any of the lanes may still change by itself."""
    if all(lane.status is Status.done for lane in lanes):
        return False
    at_work = (Status.running, Status.queued)
    alive = any(lane.status in at_work and seen.states[lane.run_id].alive for lane in lanes)
    return alive or lease.alive(launch_claim(choice.study)) is not None


def _words(seen: Situation) -> list[tuple[Status, str]]:
    return [(state.status, state.note) for state in seen.states.values()]


def _as_json(choice: Choice, seen: Situation, lanes: Sequence[Lane]) -> str:
    launcher = lease.alive(launch_claim(choice.study))
    printed = logs(choice.study, seen)
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
        "study": choice.study.name,
        "folder": str(choice.study.path),
        "launcher": str(launcher) if launcher else None,
        "spent_su": round(seen.cost.su, 4),
        "estimated_su": round(seen.cost.estimated_su, 4),
        "notes": list(seen.notes),
        "runs": runs,
    }
    return json.dumps(content, indent=1)


if __name__ == "__main__":
    raise SystemExit(main())
