"""What a plan needs of its GPUs and its disk, against what there is, checked before anything queues."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from scoft_hpc.config.cluster import Cluster, Scheduler
from scoft_hpc.config.schema import Variant
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs import memory_model
from scoft_hpc.inputs.cache_key import folder_of
from scoft_hpc.launch.planning.cost_estimate import count_pairs
from scoft_hpc.launch.planning.plan import Run
from scoft_hpc.text import plural


def require_capacity(runs: Sequence[Run], output: Path, cluster: Cluster) -> None:
    """Raise ConfigError with all that the runs lack: GPU memory, a precision of the GPU, or disk space for caches."""
    trained = [run for run in runs if run.config.variant is not Variant.base]
    faults = dict.fromkeys(_disk_faults(trained, output))
    if cluster.scheduler is Scheduler.slurm:
        faults |= dict.fromkeys(
            fault for run in trained for fault in memory_model.check_gpu(run.config, cluster)
        )
    if faults:
        raise ConfigError.from_messages(faults)


def _disk_faults(runs: Sequence[Run], output: Path) -> list[str]:
    """A sentence for a disk that has no space for the caches that are still to be made."""
    missing = {folder_of(run.config, run.config.data.digest): run.config for run in runs}
    needs = [
        memory_model.cache_gb(config, count_pairs(config))
        for folder, config in missing.items()
        if not folder.is_dir()
    ]
    nearest = next(path for path in (output, *output.parents) if path.exists())
    free = shutil.disk_usage(nearest).free / memory_model.GB
    if sum(needs) <= free:
        return []
    fault = (
        f"output={output}: the caches of {plural(len(needs), 'culture')} take about {sum(needs):.1f} GB, and "
        f"{free:.1f} GB are free on that disk. Free some space, or choose another folder with output=DIR."
    )
    return [fault]
