"""Explain a run's state: cause, attempts, what happens next, what to do, and the end of its log.

    python -m scoft_hpc.why [STUDY] [RUN ...] [culture=korea state=failed]

Without arguments it explains every run that failed or was lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from scoft_hpc.console import console_command
from scoft_hpc.launch.views import selection
from scoft_hpc.launch.views.diagnosis import diagnoses
from scoft_hpc.study.run_status import BROKEN


@console_command
def main(argv: Sequence[str] | None = None) -> int:
    parser = selection.parser("why", "Why runs are as they are, and what to do.")
    selected = selection.parse_selection(parser, argv)
    seen = selected.read_state()
    states = [state for state in selected.filter(seen) if selected.narrowed or state.status in BROKEN]
    for note in seen.warnings:
        print(f"note: {note}")
    if not states:
        what = "matches the selection" if selected.narrowed else "has failed or was lost"
        print(f"no run of {selected.study.name} {what}.")
    for line in diagnoses(selected, seen, states):
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
