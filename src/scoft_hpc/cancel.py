"""Stop runs: their jobs save and end, and whatever waits leaves the queue.

    python -m scoft_hpc.cancel [STUDY] [RUN ...] [culture=korea variant=mpc] [--yes]

A job holds a pack of runs, so that the others of a pack stop too. What was stopped is sent again by the sweep or by
`retry`, and continues from its last save.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from scoft_hpc.errors import ConfigError, LaunchError
from scoft_hpc.launch.slurm import client
from scoft_hpc.launch.tracking.run_state import State
from scoft_hpc.launch.tracking.study_state import Situation
from scoft_hpc.launch.views import selection
from scoft_hpc.launch.views.selection import Choice
from scoft_hpc.study import job_array, lease
from scoft_hpc.study.job_array import PREPARE, Verdict
from scoft_hpc.study.plan_file import launch_claim
from scoft_hpc.study.run_status import Status

SHOWN = 6
"""So many of the other runs that stop too are named."""


def main() -> int:
    return selection.answer(_main)


def _main() -> int:
    parser = selection.parser("cancel", "Stop runs; their jobs save first.")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    choice = selection.choose(parser, sys.argv[1:])
    seen = choice.look()
    if not seen.batches and not seen.unreadable:
        return _cancel_launcher(choice)
    if seen.queue is None:
        raise LaunchError(f"{seen.notes[-1]} Nothing was cancelled.")
    for note in seen.notes:
        print(f"note: {note}")
    wanted = [state for state in choice.pick(seen) if state.alive and state.place is not None]
    unsent = [state for state in wanted if not _job(state)]
    jobs = sorted({_job(state) for state in wanted if _in_queue(state)})
    if unsent:
        print(
            f"note: {len(unsent)} runs are just being sent and cannot be cancelled yet; ask again in a minute."
        )
    if not jobs:
        print("nothing to cancel: no job of these runs is in the queue.")
        return 0
    stopped = [state for state in seen.states.values() if _in_queue(state) and _job(state) in jobs]
    others = [state.run_id for state in stopped if state not in wanted]
    preparing = _preparing(choice, seen, {state.run_id for state in stopped})
    if not _sure(choice, _question(len(stopped) - len(others), jobs, others, preparing)):
        print("nothing was cancelled.")
        return 0
    client.cancel([*preparing, *jobs])
    _keep(choice, seen, {*preparing, *jobs})
    print(
        f"cancelled {_count(len(stopped), 'run')} in {_count(len(jobs), 'job')}; those at work save before they end."
    )
    if lease.alive(launch_claim(choice.study)) is not None:
        print("note: runs of this study are being sent right now; look again with `scoft-hpc status`.")
    return 0


def _job(state: State) -> str:
    return state.place.job if state.place else ""


def _in_queue(state: State) -> bool:
    """Whether a job is to come to it or works on it; one that a person runs by hand has none."""
    under_way = state.status in (Status.running, Status.queued)
    return under_way and state.entry is not None and state.entry.alive


def _preparing(choice: Choice, seen: Situation, stopped: set[str]) -> list[str]:
    """The jobs that prepare cultures for nobody else than the stopped runs."""
    culture = {run.run_id: run.culture for run in choice.entries}
    needed = {
        culture[state.run_id] for state in seen.states.values() if state.alive and state.run_id not in stopped
    }
    return [
        f"{sent.job}_{index}"
        for sent, index, _ in seen.alive()
        if sent.stage == PREPARE and culture.get(sent.tasks[index][0]) not in needed
    ]


def _keep(choice: Choice, seen: Situation, cancelled: set[str]) -> None:
    """Write down what was cancelled before it started: of an array's element that waited Slurm keeps no record."""
    for sent in seen.batches:
        waited = {
            index: Verdict("CANCELLED", 0.0)
            for other, index, entry in seen.alive()
            if other is sent and entry.state == "PENDING" and f"{sent.job}_{index}" in cancelled
        }
        if waited:
            job_array.keep_verdicts(choice.study, sent, waited)


def _question(runs: int, jobs: list[str], others: list[str], preparing: list[str]) -> str:
    text = f"cancel {_count(runs, 'run')} in {_count(len(jobs), 'job')}"
    if preparing:
        text += f", and {_count(len(preparing), 'job')} that prepare{'s' * (len(preparing) == 1)} cultures for them"
    if others:
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        text += f"? The packs' other runs stop too: {', '.join(others[:SHOWN])}{more}"
    return f"{text}?" if not others else f"{text}."


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _sure(choice: Choice, question: str) -> bool:
    if choice.flags.yes:
        print(question)
        return True
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody can be asked here; --yes does it.")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _cancel_launcher(choice: Choice) -> int:
    """A study of this machine: its launcher stops its jobs, all of them."""
    owner = lease.alive(launch_claim(choice.study))
    if owner is None:
        print(f"nothing to cancel: nobody runs {choice.study.name}.")
        return 0
    if choice.narrowed:
        raise ConfigError(
            f"{choice.study.name} is run by {owner}, and stops as a whole: leave the selection away. "
            f"The same sweep command continues it."
        )
    if owner.host != socket.gethostname() or owner.user != lease.user() or not owner.pid:
        raise LaunchError(
            f"{choice.study.name} is run by {owner}: press Ctrl-C there, or `kill {owner.pid}` on {owner.host}."
        )
    if not _sure(choice, f"stop {choice.study.name}, run by {owner}?"):
        print("nothing was cancelled.")
        return 0
    os.kill(owner.pid, signal.SIGTERM)
    print("told to stop: its jobs save, then it ends. The same sweep command continues.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
