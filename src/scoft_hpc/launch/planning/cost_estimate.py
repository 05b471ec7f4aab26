"""What a study will cost, before it is sent: from what runs took before, or else from the GPU's speed.

Work is counted as in `launch.planning.packing`: in forward passes of the U-Net over one sample.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from scoft_hpc.config.cluster import Cluster, from_plain, gpu_of
from scoft_hpc.config.schema import NegativeSource, RunConfig
from scoft_hpc.errors import LaunchError, ScoftError
from scoft_hpc.inputs.model_costs import DEPTH_GFLOP, costs_of, denoiser_gflop
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.planning.packing import Pack, run_cost
from scoft_hpc.launch.planning.plan import Run
from scoft_hpc.study import job_array, run_status
from scoft_hpc.study.job_array import Attempt
from scoft_hpc.study.json_files import read_json
from scoft_hpc.study.paths import StudyDir, studies
from scoft_hpc.text import plural

STARTUP_SECONDS = 60.0
"""Seconds until a job's first step, where none was measured: imports from a shared disk, and loading the base."""
CORE_TFLOPS = 0.02
"""What a CPU core sustains where `device=cpu` leaves the GPU idle: measured on the toy world, two cores."""
MARGIN = 1.5
"""The time limit over the estimate. Short jobs start earlier, in the gaps that the scheduler backfills, so it is kept
small; it need not cover every case, since a job that runs over it saves and continues."""
STEP_MINUTES = 5
"""Minutes that a time limit is a multiple of."""
MAX_RUNS, MAX_STUDIES = 64, 4
"""At most so many results are read to measure a pace, and so many other studies searched for them, newest first."""
CPU = "cpu"


@dataclass(frozen=True)
class Throughput:
    """How fast jobs work.

    Attributes:
        seconds: for one unit of `pack.cost`. startup: of a job beyond its runs' own work, in seconds.
        source: where both come from, for people.
    """

    seconds: float
    startup: float
    source: str


@dataclass(frozen=True)
class CostEstimate:
    """GPU-hours, and the service units that they are charged with."""

    gpu_hours: float = 0.0
    su: float = 0.0


def estimate_throughput(study: StudyDir, runs: Sequence[Run], cluster: Cluster) -> Throughput:
    """How fast `runs` will go on `cluster`.

    Measured on finished runs of this study, or else of the newest other one below the same output that has some: of
    the same weights, resolution and precision, on the same site's same GPU. Under `device=cpu` the GPU idles, so it
    is CPU runs that count, here or there. Where there are none, estimated from the GPU's `tflops`.
    """
    models = {_model(run) for run in runs}
    place = CPU if _on_cpu(runs) else _place(cluster)
    others = [other for other in studies(study.path.parent) if other.name != study.name]
    for known in (study, *others[:MAX_STUDIES]):
        packs = list(_measured(known, models, place))
        if packs:
            startups = [p.startup for p in packs if p.startup is not None]
            count = sum(p.runs for p in packs)
            where = "this study" if known is study else f"the study {known.name}"
            return Throughput(
                seconds=median(p.seconds / p.cost for p in packs),
                startup=median(startups) if startups else STARTUP_SECONDS,
                source=f"measured on {plural(count, 'run')} of {where}",
            )
    return _estimated(runs, cluster)


def pack_seconds(pack: Pack, pace: Throughput) -> float:
    """What a pack takes, in seconds of its job."""
    return pace.startup + pack.cost * pace.seconds


def prepare_seconds(run: Run, pace: Throughput) -> float:
    """What preparing the run's culture takes, in seconds of its job; negatives that pairs bring are not deducted."""
    settings, guided, pairs = run.config.data.negatives, 2, count_pairs(run.config)
    costs = costs_of(run.config.model)
    encode = costs.passes(costs.encode)
    work = pairs * 2 * encode  # both flips
    if settings.source is not NegativeSource.given:
        steps = settings.steps
        if settings.source is NegativeSource.img2img:
            steps -= min(steps - 1, round(steps * (1 - settings.strength)))
        once, per_step = encode + costs.passes(costs.decode), 1.0
        if settings.source is NegativeSource.depth:
            once, per_step = once + costs.passes(DEPTH_GFLOP), 1 + costs.passes(costs.controlnet)
        work += pairs * settings.per_positive * (once + steps * guided * per_step)
    return pace.startup + work * pace.seconds


def minutes(seconds: Sequence[float], cluster: Cluster) -> int:
    """The time limit of jobs with these estimates: the longest, with a margin, and time to save in at the end."""
    if cluster.minutes is not None:
        return cluster.minutes
    needed = max(seconds, default=0.0) * MARGIN + cluster.warn_seconds
    rounded = STEP_MINUTES * math.ceil(needed / 60 / STEP_MINUTES)
    return min(max(rounded, cluster.min_minutes), cluster.max_minutes)


def estimate_cost(seconds: Sequence[float], su_per_hour: float) -> CostEstimate:
    """Of jobs that take so long, on one GPU each."""
    hours = sum(seconds) / 3600
    return CostEstimate(hours, hours * su_per_hour)


def require_budget(limit: float | None, spent: float, estimate: CostEstimate) -> None:
    """Raise LaunchError if `spent` service units and those to come are more than `limit`; None: no limit."""
    total = spent + estimate.su
    if limit is not None and total > limit + 1e-9:  # sums of floats that just meet it pass
        raise LaunchError(
            f"budget.su={limit:g} is not enough: {spent:.2f} SU are spent, and {estimate.su:.2f} more are estimated "
            f"({estimate.gpu_hours:.2f} GPU-hours), {total - limit:.2f} too many. Nothing was sent. Ask for fewer "
            f"cultures, variants or seeds, or allow more: budget.su={math.ceil(total)}."
        )


def _estimated(runs: Sequence[Run], cluster: Cluster) -> Throughput:
    _, gpu = gpu_of(cluster)
    tflops, what = gpu.tflops, _gpu_name(cluster) or "a GPU"
    if _on_cpu(runs):
        cores = gpu.cores or 1
        tflops, what = CORE_TFLOPS * cores, plural(cores, "CPU core")
    work = sum(run_cost(run) * denoiser_gflop(run.config.model) for run in runs)
    total = sum(map(run_cost, runs))
    unit = work / total / (tflops * 1e3) if total else 0.0
    return Throughput(unit, STARTUP_SECONDS, f"estimated from {tflops:g} TFLOP/s of {what}")


def count_pairs(config: RunConfig) -> int:
    """How many pairs the culture has, by the rows of its metadata.jsonl; 0 if that cannot be read."""
    try:
        with (Path(config.data.root or "") / config.culture / "train" / "metadata.jsonl").open() as file:
            rows = sum(1 for line in file if line.strip())
    except OSError:
        return 0
    return rows if config.data.pairs is None else min(rows, config.data.pairs)


@dataclass(frozen=True)
class _Measured:
    """A pack's finished runs: how many, their seconds and cost together, and the job's seconds besides, if known.

    Lanes of a pack step together and are charged alike whatever they compute, so only their sum tells the pace.
    """

    runs: int
    seconds: float
    cost: float
    startup: float | None


def _measured(study: StudyDir, models: set[tuple[Any, ...]], place: str) -> Iterator[_Measured]:
    """What the study's finished packs took, newest first; of a study that another version wrote, nothing."""
    try:
        planned = {run.run_id: run for run in plan_store.runs(study)}
        packs = list(_packs(study, list(planned)))
    except (ScoftError, KeyError):
        return
    count = 0
    for ids, where, attempts in packs:
        runs = [planned[name] for name in ids if name in planned][: MAX_RUNS - count]
        fitting = [run for run in runs if _model(run) in models and _ran(study, run, where) == place]
        took = [(run, spent) for run in fitting if (spent := _seconds(study, run)) is not None]
        if any(not run.config.evaluation.images for run, _ in took):  # else nothing was drawn: no pace
            total = sum(spent for _, spent in took)
            whole = [a for a in attempts if a.code == 0 and not any(a.progress.values())]
            startup = max(0.0, whole[0].seconds - total) if whole and len(took) == len(ids) else None
            count += len(took)
            yield _Measured(len(took), total, sum(run_cost(run) for run, _ in took), startup)


def _packs(study: StudyDir, planned: Sequence[str]) -> Iterator[tuple[list[str], str, list[Attempt]]]:
    """Each task's runs, where it ran and its attempts; at last the runs that Slurm never had, as one pack."""
    seen: set[str] = set()
    for sent in reversed(job_array.read_readable(study)[0]):
        for n, task in enumerate(sent.tasks if sent.stage == job_array.TRAIN else ()):
            again = seen.intersection(task)
            attempts = [] if again else [attempt for attempt in sent.attempts if attempt.task == n]
            yield [name for name in task if name not in again], _place(from_plain(sent.cluster)), attempts
            seen.update(task)
    yield [name for name in planned if name not in seen], "", []


def _model(run: Run) -> tuple[Any, ...]:
    model = run.config.model
    return model.digest, model.resolution, model.precision


def _on_cpu(runs: Sequence[Run]) -> bool:
    return bool(runs) and all(run.config.device == CPU for run in runs)


def _place(cluster: Cluster) -> str:
    """A site's GPU of one type: on the same one, jobs are as fast."""
    return f"{cluster.name} {_gpu_name(cluster)}"


def _gpu_name(cluster: Cluster) -> str:
    """The GPU's name in the profile, since sites that ask for it by the partition have no type for it."""
    return cluster.gpu or next(iter(cluster.gpus), "")


def _ran(study: StudyDir, run: Run, where: str) -> str:
    """Where the run's own work was done; `where` is its job's place, empty for one that Slurm never had."""
    device = (
        run.config.device if where else str(read_json(study.run(run.run_id).provenance).get("device", ""))
    )
    return CPU if device == CPU else where


def _seconds(study: StudyDir, run: Run) -> float | None:
    """The run's own work: training, drawing and scoring; None until it is done."""
    return run_status.work_seconds(run_status.result(study.run(run.run_id)))
