"""Print the log of a run's last job.

    python -m scoft_hpc.logs [STUDY] RUN [-n LINES] [-f]

RUN is an id or a prefix of one, or a selection such as culture=korea variant=mpc. The log goes to standard output,
messages about it go to standard error. `-f` follows the log until the run has ended, across waits and restarts.
"""

from __future__ import annotations

from collections.abc import Sequence

from scoft_hpc.console import console_command
from scoft_hpc.launch.views import run_log, selection


@console_command
def main(argv: Sequence[str] | None = None) -> int:
    parser = selection.parser("logs", "Print the log of a run's last job.")
    parser.add_argument("-f", "--follow", action="store_true", help="stay until the run has ended")
    parser.add_argument("-n", "--lines", type=int, metavar="LINES", help="only the last so many lines")
    selected = selection.parse_selection(parser, argv)
    seen = selected.read_state()
    run = selected.single(seen).run_id
    path = run_log.show(selected, seen, run, selected.flags.lines)
    if selected.flags.follow:
        run_log.follow(selected, seen, run, path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
