"""Send failed and lost runs again, as the rest of the study was sent.

    python -m scoft_hpc.retry [STUDY] [RUN ...] [culture=korea state=nan] [cluster.minutes=120] [budget.su=20]

They continue from what they saved last. Words of `cluster` and `budget` replace what the study was sent with.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from scoft_hpc.errors import ConfigError, LaunchError
from scoft_hpc.launch.tracking.run_state import State
from scoft_hpc.launch.tracking.study_state import Situation
from scoft_hpc.launch.views import selection
from scoft_hpc.launch.views.selection import Choice
from scoft_hpc.study.plan_file import near, read
from scoft_hpc.study.run_status import Status

if TYPE_CHECKING:
    from scoft_hpc.launch.tracking.submission_plan import Request

GROUPS = ("cluster", "budget")
"""The settings of a study that are not its runs' own."""

BROKEN = (Status.failed, Status.lost)


def main() -> int:
    return selection.answer(_main)


def _main() -> int:
    parser = selection.parser("retry", "Send failed and lost runs again.")
    choice = selection.choose(parser, sys.argv[1:], settings=True)
    seen = choice.look()
    if seen.unreadable:
        raise LaunchError(f"{' '.join(seen.unreadable)} Nothing was sent.")
    if not seen.batches:
        words = _sweep_words(choice)
        raise ConfigError(
            f"{choice.study.name} runs on this machine, where the same sweep command tries failed runs again: "
            f"`python -m scoft_hpc.sweep {words}`."
        )
    broken = [state for state in choice.pick(seen) if state.status in BROKEN]
    busy = [state.run_id for state in broken if state.alive]
    if busy:
        print(f"note: not yet, since their jobs still work on other runs: {' '.join(busy)}")
    wanted = [state for state in broken if not state.alive]
    if not wanted:
        print(f"nothing to retry: no run of {choice.study.name} that was asked for has failed or was lost.")
        return 0
    return _send(choice, seen, wanted)


def _sweep_words(choice: Choice) -> str:
    """The words of the study's sweep command, with its name and place of now."""
    own = ("study", "output")
    words = [word for word in read(choice.study).words if word.partition("=")[0] not in own]
    return shlex.join([*words, f"study={choice.study.name}", f"output={near(choice.study.path.parent)}"])


def _send(choice: Choice, seen: Situation, wanted: list[State]) -> int:
    from scoft_hpc.launch.planning import plan_store
    from scoft_hpc.launch.slurm import launcher
    from scoft_hpc.launch.views import submission_messages

    request = _request(choice, seen, wanted)
    sent = launcher.launch(choice.study, plan_store.runs(choice.study), request)
    names = {run.run_id for run in sent.runs}
    for state in wanted:
        if state.run_id in names:
            print(f"{state.run_id} ({state.cause or state.status.value})")
    for line in submission_messages.coming_lines(sent, request.cluster) if sent.runs else []:
        print(line)
    print(
        submission_messages.sent_line(sent.batches)
        if sent.runs
        else "nothing to send: another launch was faster."
    )
    return 0


def _request(choice: Choice, seen: Situation, wanted: list[State]) -> Request:
    """The wanted runs with the settings of the batch that a person sent last, and the command's own.

    Raises:
        ConfigError: for words that are no settings of the cluster or the budget, or do not fit.
    """
    from scoft_hpc.config import check, compose
    from scoft_hpc.config.cluster import from_plain
    from scoft_hpc.launch.tracking.submission_plan import Request

    last = next((one for one in reversed(seen.batches) if one.by_hand), seen.batches[-1])
    config = compose.compose("sweep", choice.settings)
    cluster, limit = from_plain(last.cluster), last.limit
    for word in choice.settings:
        group, *names = word.partition("=")[0].split(".")
        if group not in GROUPS or len(names) != 1:
            raise ConfigError(
                f"`{word}`: a retry takes the runs as they were planned; only `cluster.…=` and `budget.su=` may change."
            )
        if group == "budget":
            limit = config.budget.su
        else:
            cluster = replace(cluster, **{names[0]: getattr(config.cluster, names[0])})
    if faults := check.check_launching(replace(config, cluster=cluster)):
        raise ConfigError.of(faults)
    return Request(cluster, retry=True, limit=limit, only=frozenset(state.run_id for state in wanted))


if __name__ == "__main__":
    raise SystemExit(main())
