"""Stop runs: running jobs save and end, waiting jobs leave the queue.

    python -m scoft_hpc.cancel [STUDY] [RUN ...] [culture=korea variant=mpc] [--yes]

A job holds a pack of runs, so the other runs of the pack stop too. The sweep or `retry` submits stopped runs again;
they continue from their last save.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence

from scoft_hpc.console import console_command
from scoft_hpc.errors import ConfigError, LaunchError
from scoft_hpc.launch.slurm.cancellation import Cancellation, cancel, plan_cancellation
from scoft_hpc.launch.views import selection
from scoft_hpc.launch.views.selection import Selection
from scoft_hpc.study import lease
from scoft_hpc.study.plan_file import launch_lease
from scoft_hpc.text import listing, plural

MAX_SHOWN = 6
"""So many of the other runs that stop too are named."""


@console_command
def main(argv: Sequence[str] | None = None) -> int:
    parser = selection.parser("cancel", "Stop runs; their jobs save first.")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    selected = selection.parse_selection(parser, argv)
    seen = selected.read_state()
    if not seen.arrays and not seen.unreadable:
        return _cancel_launcher(selected)
    if seen.queue is None:
        raise LaunchError(f"{seen.warnings[-1]} Nothing was cancelled.")
    for note in seen.warnings:
        print(f"note: {note}")
    wanted = {state.run_id for state in selected.filter(seen)}
    cultures = {run.run_id: run.culture for run in selected.entries}
    planned = plan_cancellation(seen, wanted, cultures)
    if planned.n_unsent:
        print(
            f"note: {planned.n_unsent} runs are just being sent and cannot be cancelled yet; ask again in a minute."
        )
    if not planned.jobs:
        print("nothing to cancel: no job of these runs is in the queue.")
        return 0
    if not _sure(selected, _question(planned)):
        print("nothing was cancelled.")
        return 0
    cancel(selected.study, seen, planned)
    n_runs, n_jobs = plural(len(planned.stopped), "run"), plural(len(planned.jobs), "job")
    print(f"cancelled {n_runs} in {n_jobs}; those at work save before they end.")
    if lease.live_owner(launch_lease(selected.study)) is not None:
        print("note: runs of this study are being sent right now; look again with `scoft-hpc status`.")
    return 0


def _question(planned: Cancellation) -> str:
    n_runs = plural(len(planned.stopped) - len(planned.others), "run")
    text = f"cancel {n_runs} in {plural(len(planned.jobs), 'job')}"
    if planned.preparing:
        verb = "prepares" if len(planned.preparing) == 1 else "prepare"
        text += f", and {plural(len(planned.preparing), 'job')} that {verb} cultures for them"
    if not planned.others:
        return f"{text}?"
    return f"{text}? The packs' other runs stop too: {listing(planned.others, MAX_SHOWN)}."


def _sure(selected: Selection, question: str) -> bool:
    if selected.flags.yes:
        print(question)
        return True
    if not sys.stdin.isatty():
        raise ConfigError(f"{question} Nobody can be asked here; --yes does it.")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _cancel_launcher(selected: Selection) -> int:
    """A study of this machine: its launcher stops its jobs, all of them."""
    owner = lease.live_owner(launch_lease(selected.study))
    if owner is None:
        print(f"nothing to cancel: nobody runs {selected.study.name}.")
        return 0
    if selected.narrowed:
        raise ConfigError(
            f"{selected.study.name} is run by {owner}, and stops as a whole: leave the selection away. "
            f"The same sweep command continues it."
        )
    if owner.host != socket.gethostname() or owner.user != lease.user() or not owner.pid:
        raise LaunchError(
            f"{selected.study.name} is run by {owner}: press Ctrl-C there, or `kill {owner.pid}` on {owner.host}."
        )
    if not _sure(selected, f"stop {selected.study.name}, run by {owner}?"):
        print("nothing was cancelled.")
        return 0
    os.kill(owner.pid, signal.SIGTERM)
    print("stop requested: its jobs save, then it ends. The same sweep command continues.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
