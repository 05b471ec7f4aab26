"""What this machine has: cores, memory and GPUs, found out without torch; and how jobs share them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from scoft_hpc.config.cluster import Cluster, Scheduler, gpu_of
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs import memory_model

JOB_BYTES = 10**9
"""Memory that a CPU job of the toy model needs: measured 0.67 GB with 5 lanes, 0.87 GB with 25."""

DEFAULT_LANES = memory_model.MAX_LANES
"""Lanes of a pack at most where neither `cluster.lanes` nor a GPU's memory says; `JOB_BYTES` holds them."""

CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class JobSlot:
    """The place of one job at a time: the environment variables that give it its share of the machine."""

    env: dict[str, str]
    device: str


def job_slots(device: str, jobs: int | None, threads: int | None, runs: int) -> list[JobSlot]:
    """One slot a job that runs at a time: a GPU each where there are GPUs, else the cores shared out evenly.

    Args:
        device: `auto`, `cpu`, `cuda` or `cuda:N`, as in the config; `cuda:N` keeps every job on that GPU.
        jobs: how many; None: one a GPU, or on a CPU one a core as far as the memory goes.
        threads: CPU threads of a job; None: the cores divided by the jobs.
        runs: how many there are to send; more jobs than that are of no use.

    Raises:
        ConfigError: if `jobs` or `threads` is below 1, or GPUs are asked for and there are none.
    """
    for name, value in (("cluster.jobs", jobs), ("threads", threads)):
        if value is not None and value < 1:
            raise ConfigError(f"{name}={value}; expected a number from 1 on, or null to find it out.")
    devices = [] if device == "cpu" else gpus()
    if device.startswith("cuda") and not devices:
        raise ConfigError(f"device={device}, but no GPU was found here; use device=auto or device=cpu.")
    is_fixed_gpu = device.startswith("cuda:")
    most = jobs or (1 if is_fixed_gpu else len(devices)) or max(1, min(cores(), memory() // JOB_BYTES))
    count = max(1, min(most, runs))
    share = str(threads or max(1, cores() // count))
    env = {"OMP_NUM_THREADS": share, "MKL_NUM_THREADS": share}
    if is_fixed_gpu:  # the job counts the GPUs as this process does, so it must see as many
        return [JobSlot(env, device)] * count
    places = [devices[i % len(devices)] if devices else "" for i in range(count)]
    return [
        JobSlot(env={**env, "CUDA_VISIBLE_DEVICES": place}, device=f"GPU {place}" if place else "CPU")
        for place in places
    ]


def max_lanes(configs: Sequence[RunConfig], cluster: Cluster) -> int:
    """Lanes of a pack of such runs at most: `cluster.lanes`, or else what fits the memory of its GPU."""
    if cluster.lanes is not None:
        return cluster.lanes
    gigabytes = gpu_of(cluster)[1].vram_gb if cluster.scheduler is Scheduler.slurm else gpu_gigabytes()
    if gigabytes is None:
        return DEFAULT_LANES
    sizes = {replace(config, culture="", seed=0, data=replace(config.data, digest="")) for config in configs}
    return min(
        (max(1, memory_model.max_lanes(config, gigabytes)) for config in sizes if config.device != "cpu"),
        default=DEFAULT_LANES,
    )


def cores() -> int:
    """CPU cores that this process may use: its affinity, and a container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(CGROUP / "cpu.max").partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        count = min(count, max(1, round(int(quota) / int(period))))
    return count


def memory() -> int:
    """Bytes of memory that new processes can use: what is available, within a container's limit."""
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for line in _read(Path("/proc/meminfo")).splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    limit = _read(CGROUP / "memory.max").strip()
    if limit.isdigit():
        used = _read(CGROUP / "memory.current").strip()
        available = min(available, int(limit) - (int(used) if used.isdigit() else 0))
    return max(0, available)


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = [name.strip() for name in visible.split(",") if name.strip()]
        return [] if "-1" in names else names
    return _nvidia("index")


def gpu_gigabytes() -> float | None:
    """The memory of this machine's smallest GPU in GB; None without one."""
    if not gpus():
        return None
    return min((int(mebibytes) * 2**20 / 1e9 for mebibytes in _nvidia("memory.total")), default=None)


def _nvidia(column: str) -> list[str]:
    """A whole number of each GPU, as nvidia-smi tells it; empty where it cannot."""
    query = ["nvidia-smi", f"--query-gpu={column}", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in answer.stdout.splitlines() if line.strip().isdigit()]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
