"""Probe the place that a sweep would run in: Slurm, disk, GPU, network; say what to change. Nothing is sent.

    python -m scoft_hpc.doctor cluster=bridges2 cluster.account=GRANT

takes the words of a sweep. Exit code 3 tells of a fault that would keep the sweep from running.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from scoft_hpc.config.check import check_launching
from scoft_hpc.config.cluster import Scheduler, gpu_of
from scoft_hpc.config.commands import SweepConfig
from scoft_hpc.config.compose import compose
from scoft_hpc.console import print_line, program, run_command
from scoft_hpc.errors import ConfigError, LaunchError
from scoft_hpc.launch.doctor import disk, node
from scoft_hpc.launch.doctor import slurm as probe_slurm
from scoft_hpc.launch.doctor.checks import Finding, Probe, Verdict, side_by_side
from scoft_hpc.launch.slurm import client
from scoft_hpc.text import plural

SECONDS = 120.0
"""All probes together take no longer; loading torch from a busy shared disk takes longest."""

STYLES = {Verdict.ok: "green", Verdict.note: "yellow", Verdict.fault: "bold red"}


def examine(config: SweepConfig) -> list[Finding]:
    """All findings, those about Slurm first."""
    if faults := check_launching(config):
        raise ConfigError.of(faults)
    cluster = config.cluster
    by_slurm = cluster.scheduler is Scheduler.slurm
    wanted = gpu_of(cluster)[0] or cluster.gpu or next(iter(cluster.gpus), "")
    probes: list[tuple[str, Probe]] = _slurm_probes(config) if by_slurm else [("Slurm", _no_slurm)]
    probes += [
        ("output", lambda: disk.output_disk(Path(config.output), shared=by_slurm)),
        ("torch", lambda: node.gpu(config, wanted if by_slurm else "")),
        ("internet", node.internet),
        ("tokens", lambda: node.tokens(config)),
    ]
    return side_by_side(probes, SECONDS)


def _slurm_probes(config: SweepConfig) -> list[tuple[str, Probe]]:
    if not client.here():
        return [("Slurm", probe_slurm.commands)]
    study = probe_slurm.study_of(config.output, config.study)
    return [
        ("Slurm", probe_slurm.commands),
        ("controller", lambda: probe_slurm.setup(config.cluster)),
        ("partition", lambda: probe_slurm.partition(config.cluster)),
        ("sbatch", lambda: probe_slurm.trial(config.cluster, study)),
    ]


def _no_slurm() -> list[Finding]:
    if client.here():
        advice = "Slurm: cluster=local runs here and uses none of it; cluster=slurm, or a site's name, sends to it."
        return [Finding("Slurm", "not asked for, but here", Verdict.note, advice)]
    return [Finding("Slurm", "none, and cluster=local needs none")]


def show(findings: Sequence[Finding], console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("check", "found", "verdict"):
        table.add_column(name, overflow="fold")
    for finding in findings:
        style = STYLES[finding.verdict]
        table.add_row(
            finding.check, finding.found.replace("[", r"\["), f"[{style}]{finding.verdict.value}[/]"
        )
    console.print(table)
    for verdict in (Verdict.fault, Verdict.note):
        for finding in findings:
            if finding.verdict is verdict and finding.advice:
                print_line(console, f"{verdict.value}: {finding.advice}")
    faults = sum(finding.verdict is Verdict.fault for finding in findings)
    count = f"{plural(faults, 'fault')} would keep a sweep from running."
    console.print(count if faults else "Nothing would keep a sweep from running.", highlight=False)


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=program("doctor"), description="What would keep a sweep from running here."
    )
    parser.add_argument(
        "words", nargs="*", metavar="SETTING", help="as for sweep: cluster=bridges2 output=DIR …"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    asked = _parse(argv)
    findings = examine(compose("sweep", asked.words))
    if asked.json:
        print(json.dumps([{**asdict(each), "verdict": each.verdict.value} for each in findings], indent=1))
    else:
        show(findings, Console())
    return LaunchError.exit_code if any(each.verdict is Verdict.fault for each in findings) else 0


if __name__ == "__main__":
    raise SystemExit(main())
