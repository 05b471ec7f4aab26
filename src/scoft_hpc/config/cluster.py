"""Where packs run: this machine, or a Slurm site. What a site is like is data, in `conf/cluster/`, with its date."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from scoft_hpc.config.setting import ABOVE_ZERO, at_least, policies, setting
from scoft_hpc.errors import ConfigError


class Scheduler(Enum):
    """Who starts the jobs: this process, or Slurm."""

    local = "local"
    slurm = "slurm"


class GpuFlag(Enum):
    """How a site wants to be asked for GPUs: sbatch's option of this name."""

    gpus = "gpus"
    gpus_per_node = "gpus_per_node"
    gpus_per_task = "gpus_per_task"
    gres = "gres"


@dataclass(frozen=True)
class Gpu:
    """A type of GPU that a site lends.

    Attributes:
        su_per_hour: service units charged per GPU-hour.
        cores: CPU cores to ask for with each GPU; None: the site's default.
        memory_gb: host memory to ask for with each GPU; None: the site's default.
        most_memory_gb: host memory that a job may have at most; None: twice `memory_gb`.
        tflops: what training sustains, in TFLOP/s: the estimate, until a run was measured.
        vram_gb: its own memory; None: not known, and packs are as large as `Cluster.lanes` says.
        bf16: whether it computes in bf16: Ampere and newer.
        partition: where it differs from the cluster's.
        type: Slurm's name of the type, if it is not the key in `Cluster.gpus`; empty: requested without a type.
    """

    su_per_hour: float = setting(1.0, allowed=at_least(0))
    cores: int | None = setting(None, allowed=ABOVE_ZERO)
    memory_gb: float | None = setting(None, allowed=ABOVE_ZERO)
    most_memory_gb: float | None = setting(None, allowed=ABOVE_ZERO)
    tflops: float = setting(10.0, allowed=ABOVE_ZERO)
    vram_gb: float | None = setting(None, allowed=ABOVE_ZERO)
    bf16: bool = True
    partition: str | None = None
    type: str | None = None


@dataclass(frozen=True)
class Cluster:
    """Where packs run. `jobs` packs at a time, `lanes` runs a pack at most; null finds both out, lanes by the memory.

    The rest is Slurm's: a job is one pack on one GPU.

    Attributes:
        account: the allocation that pays; None: the user's default one.
        gpu: one of `gpus`; None: the first.
        gpus: the fields of a `Gpu` by the GPU's type; `gpu_of` reads and checks them.
        minutes: the jobs' time limit; None: from the estimate.
        min_minutes, max_minutes: the bounds of that limit; the latter is the partition's.
        max_array: Slurm's MaxArraySize.
        warn_seconds: how long before the time limit the jobs receive the signal to save.
        python: how the jobs call Python, such as `apptainer exec --nv scoft.sif python`; None: as this process does.
        setup: shell lines before the job: modules, activation, caches.
        sbatch: further options, by sbatch's names.
        checked: the day on which the facts of this profile were looked up.
        documentation: where.
    """

    name: str = "local"
    scheduler: Scheduler = Scheduler.local
    jobs: int | None = setting(None, allowed=at_least(1))
    lanes: int | None = setting(None, allowed=at_least(1))
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    constraint: str | None = None
    gpu: str | None = None
    gpus: dict[str, Any] = field(default_factory=dict)
    gpu_flag: GpuFlag = GpuFlag.gpus
    minutes: int | None = setting(None, allowed=at_least(1))
    min_minutes: int = setting(10, allowed=at_least(1))
    max_minutes: int = setting(2880, allowed=at_least(1))
    max_array: int = setting(1001, allowed=at_least(1))
    warn_seconds: int = setting(120, allowed=at_least(1))
    python: str | None = None
    setup: list[str] = field(default_factory=list)
    sbatch: dict[str, str] = field(default_factory=dict)
    checked: str = ""
    documentation: str = ""


def gpu_of(cluster: Cluster) -> tuple[str, Gpu]:
    """The GPU that the jobs ask for: its type, empty for whatever the site gives, and what is known of it.

    Raises:
        ConfigError: for a type that the site does not have, or an entry of `gpus` that describes none.
    """
    options = ", ".join(cluster.gpus)
    if not cluster.gpus:
        return cluster.gpu or "", Gpu()
    name = cluster.gpu or next(iter(cluster.gpus))
    if name not in cluster.gpus:
        raise ConfigError(f"cluster.gpu={name}: {cluster.name} has {options}.")
    known = {f.name: f.default for f in fields(Gpu)}
    given = cluster.gpus[name]
    wrong = [key for key in given if key not in known] if isinstance(given, dict) else [str(given)]
    wrong += [key for key in known if key in given and not _fits(key, given[key])] if not wrong else []
    if wrong:
        raise ConfigError(
            f"cluster.gpus.{name}: {', '.join(wrong)} cannot be read; expected {', '.join(known)}, "
            f"partition and type as strings, bf16 as true or false, cores as a whole number, the others as numbers."
        )
    gpu = Gpu(**given)
    return name if gpu.type is None else gpu.type, gpu


def from_plain(values: Mapping[str, Any]) -> Cluster:
    """The cluster from what `config.plain.to_plain` made of it, in this version or an older one."""
    known = {f.name: values[f.name] for f in fields(Cluster) if f.name in values}
    enums = {"scheduler": Scheduler[known["scheduler"]], "gpu_flag": GpuFlag[known["gpu_flag"]]}
    return Cluster(**{**known, **enums})


def _fits(name: str, value: Any) -> bool:
    """Whether a field of `Gpu` can have the value: its type, read strictly, and its range."""
    hint, rule = typing.get_type_hints(Gpu)[name], policies(Gpu)[name].allowed
    types = typing.get_args(hint) or (hint,)
    if value is None or isinstance(value, bool):
        return type(value) in types
    typed = isinstance(value, (int, float) if float in types else types)
    return typed and (rule is None or rule.holds(value))
