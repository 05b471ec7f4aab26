"""All probes of the machine that a sweep would run on, side by side."""

from __future__ import annotations

from pathlib import Path

from scoft_hpc.config.cluster import Scheduler, gpu_of
from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.config.validation import validate_launch
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.doctor import disk, node
from scoft_hpc.launch.doctor import slurm as probe_slurm
from scoft_hpc.launch.doctor.checks import CheckResult, CheckStatus, Probe, run_concurrently
from scoft_hpc.launch.slurm import client
from scoft_hpc.study.paths import StudyDir

SECONDS = 120.0
"""All probes together take no longer; loading torch from a busy shared disk takes longest."""


def examine(config: SweepConfig) -> list[CheckResult]:
    """All findings, those about Slurm first.

    Raises:
        ConfigError: if the settings cannot be launched at all.
    """
    if faults := validate_launch(config):
        raise ConfigError.from_messages(faults)
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
    return run_concurrently(probes, SECONDS)


def _slurm_probes(config: SweepConfig) -> list[tuple[str, Probe]]:
    if not client.is_available():
        return [("Slurm", probe_slurm.commands)]
    study = StudyDir(Path(config.output).expanduser().absolute() / (config.study or "doctor"))
    return [
        ("Slurm", probe_slurm.commands),
        ("controller", lambda: probe_slurm.setup(config.cluster)),
        ("partition", lambda: probe_slurm.partition(config.cluster)),
        ("sbatch", lambda: probe_slurm.test_submission(config.cluster, study)),
    ]


def _no_slurm() -> list[CheckResult]:
    if client.is_available():
        advice = "cluster=local runs here and uses none of it; cluster=slurm, or a site's name, sends to it."
        return [CheckResult("Slurm", "not asked for, but here", CheckStatus.note, advice)]
    return [CheckResult("Slurm", "none, and cluster=local needs none")]
