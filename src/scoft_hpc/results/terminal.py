"""Gathered results on the terminal."""

from __future__ import annotations

from rich.console import Console

from scoft_hpc.console import print_line
from scoft_hpc.results import table
from scoft_hpc.results.findings import findings
from scoft_hpc.results.gather import Gathered
from scoft_hpc.study import costs
from scoft_hpc.study.run_status import Status
from scoft_hpc.text import listing

MAX_SHOWN = 3
"""Runs that failed for one reason, by name; the others are counted."""


def show(gathered: Gathered) -> None:
    """Print the runs, what they say together, and where the files are."""
    console = Console(highlight=False)
    results = findings(gathered.study)
    tables = [
        table.run_table(gathered.rows),
        *table.bias_tables(gathered.study),
        *table.summary_tables(results),
    ]
    for each in tables:
        console.print()
        console.print(each)
    console.print()
    reasons: dict[str, list[str]] = {}
    for run in gathered.study.runs:
        if run.status is Status.failed:
            reasons.setdefault(run.failure.get("message", "no reason was written"), []).append(run.run_id)
    for reason, names in reasons.items():
        print_line(console, f"{listing(names, MAX_SHOWN)} failed: {reason}")
    for measure in results.measures:
        for warning in results.warnings(measure.name):
            print_line(console, f"{measure.title}: {warning}")
    for note in gathered.notes:
        print_line(console, f"note: {note}")
    if gathered.study.costs:
        print_line(console, f"cost     {costs.sentence(costs.total(gathered.study.costs))}")
    print_line(console, f"results  {gathered.study.folder.results}")
    print_line(console, f"report   {gathered.study.folder.report}")
