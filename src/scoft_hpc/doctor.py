"""Check Slurm, disk, GPU and network before a sweep, and say what to change; nothing is submitted.

    python -m scoft_hpc.doctor cluster=bridges2 cluster.account=GRANT

takes the overrides of a sweep. Exit code 3 reports a fault that would prevent the sweep from running.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict

from rich import box
from rich.console import Console
from rich.table import Table

from scoft_hpc.config.compose import compose
from scoft_hpc.console import console_command, print_line, program
from scoft_hpc.errors import LaunchError
from scoft_hpc.launch.doctor.checks import CheckResult, CheckStatus
from scoft_hpc.launch.doctor.examine import examine
from scoft_hpc.text import plural

STYLES = {CheckStatus.ok: "green", CheckStatus.note: "yellow", CheckStatus.fault: "bold red"}


def show(findings: Sequence[CheckResult], console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("check", "found", "status"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        style = STYLES[finding.status]
        table.add_row(
            finding.check, finding.observed.replace("[", r"\["), f"[{style}]{finding.status.value}[/]"
        )
    console.print(table)
    for status in (CheckStatus.fault, CheckStatus.note):
        for finding in findings:
            if finding.status is status and finding.advice:
                print_line(console, f"{status.value}: {finding.check}: {finding.advice}")
    faults = sum(finding.status is CheckStatus.fault for finding in findings)
    count = f"{plural(faults, 'fault')} would keep a sweep from running."
    console.print(count if faults else "Nothing would keep a sweep from running.", highlight=False)


@console_command
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog=program("doctor"), description="What would keep a sweep from running here."
    )
    parser.add_argument(
        "arguments", nargs="*", metavar="SETTING", help="as for sweep: cluster=bridges2 output=DIR …"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    args = parser.parse_args(argv)
    findings = examine(compose("sweep", args.arguments))
    if args.json:
        print(json.dumps([{**asdict(each), "status": each.status.value} for each in findings], indent=1))
    else:
        show(findings, Console())
    return LaunchError.exit_code if any(each.status is CheckStatus.fault for each in findings) else 0


if __name__ == "__main__":
    raise SystemExit(main())
