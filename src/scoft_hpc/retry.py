"""Submit failed and lost runs again, with the settings of the study's submission.

    python -m scoft_hpc.retry [STUDY] [RUN ...] [culture=korea state=nan] [cluster.minutes=120] [budget.su=20]

The runs continue from their last save. Overrides of `cluster` and `budget` replace the settings of the study's
submission.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from scoft_hpc.console import console_command
from scoft_hpc.errors import ConfigError, LaunchError
from scoft_hpc.launch.views import selection
from scoft_hpc.launch.views.selection import Selection
from scoft_hpc.study.plan_file import display_path, read
from scoft_hpc.study.run_status import BROKEN


@console_command
def main(argv: Sequence[str] | None = None) -> int:
    parser = selection.parser("retry", "Send failed and lost runs again.")
    selected = selection.parse_selection(parser, argv, settings=True)
    seen = selected.read_state()
    if seen.unreadable:
        raise LaunchError(f"{' '.join(seen.unreadable)} Nothing was sent.")
    if not seen.arrays:
        raise ConfigError(
            f"{selected.study.name} runs on this machine, where the same sweep command tries failed runs again: "
            f"`python -m scoft_hpc.sweep {_sweep_overrides(selected)}`."
        )
    broken = [state for state in selected.filter(seen) if state.status in BROKEN]
    busy = [state.run_id for state in broken if state.in_queue]
    if busy:
        print(f"note: not yet, since their jobs still work on other runs: {' '.join(busy)}")
    wanted = {state.run_id: state.cause or state.status.value for state in broken if not state.in_queue}
    if not wanted:
        print(f"nothing to retry: no run of {selected.study.name} that was asked for has failed or was lost.")
        return 0
    from scoft_hpc.launch.slurm.resubmit import (
        resubmit,  # it loads Hydra, which looking at a study does not need
    )

    sent, lines = resubmit(selected.study, seen.arrays, wanted, selected.settings)
    submitted = {run.run_id for run in sent.runs}
    for name, cause in wanted.items():
        if name in submitted:
            print(f"{name} ({cause})")
    for line in lines:
        print(line)
    return 0


def _sweep_overrides(selected: Selection) -> str:
    """The overrides of the study's sweep command, with its present name and place."""
    replaced = ("study", "output")
    overrides = [text for text in read(selected.study).overrides if text.partition("=")[0] not in replaced]
    return shlex.join(
        [*overrides, f"study={selected.study.name}", f"output={display_path(selected.study.path.parent)}"]
    )


if __name__ == "__main__":
    raise SystemExit(main())
