"""Show a study's progress by culture and variant, its jobs, its cost and its failures.

    python -m scoft_hpc.status [STUDY] [RUN ...] [culture=korea variant=mpc seed=0 state=failed] [--watch] [--json]

STUDY is the latest study by default. `--watch` updates the table until every run has ended, and queries Slurm rarely.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from scoft_hpc.console import console_command
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.views import selection
from scoft_hpc.launch.views.run_progress import ProgressReader
from scoft_hpc.launch.views.study_status import as_json, chosen_lanes, screen
from scoft_hpc.launch.views.watch_status import watch


@console_command
def main(argv: Sequence[str] | None = None) -> int:
    parser = selection.parser("status", "How far a study is.")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--watch", action="store_true", help="stay, and show how it goes")
    selected = selection.parse_selection(parser, argv)
    if selected.flags.json and selected.flags.watch:
        raise ConfigError("--watch is for people, --json for programs: take one of them.")
    progress = ProgressReader(selected.study, list(selected.chosen))
    if selected.flags.watch:
        watch(selected, progress)
        return 0
    seen = selected.read_state()
    lanes = chosen_lanes(selected, seen, progress.read_with_queue(seen))
    if selected.flags.json:
        print(as_json(selected, seen, lanes))
    else:
        console = Console()
        for part in screen(selected, seen, lanes):
            console.print(part, soft_wrap=isinstance(part, Text))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
