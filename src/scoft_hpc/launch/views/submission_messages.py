"""Messages on jobs that are about to be submitted, or were."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from scoft_hpc.config.cluster import Cluster, gpu_of
from scoft_hpc.launch.tracking.run_state import RunState
from scoft_hpc.launch.tracking.submission_plan import SubmissionPlan
from scoft_hpc.study.job_array import PREPARE, TRAIN, JobArray
from scoft_hpc.study.run_status import Status
from scoft_hpc.text import plural


def submission_lines(plan: SubmissionPlan, cluster: Cluster) -> list[str]:
    """The jobs, where they go, and what they are expected to cost."""
    gpu_type, gpu = gpu_of(cluster)
    packs = [array for array in plan.arrays if array.stage == TRAIN]
    limits = sorted({array.minutes for array in packs})
    where = gpu.partition or cluster.partition or "the default partition"
    payer = f", paid by {cluster.account}" if cluster.account else ""
    tasks = sum(len(array.tasks) for array in packs)
    lines = [
        f"{plural(len(plan.runs), 'run')} in {plural(tasks, 'pack')}, each on one {gpu_type or 'GPU'} of {where}"
    ]
    lines[0] += f" ({cluster.name}{payer}), time limit {_range(limits)}"
    cultures = sum(len(array.tasks) for array in plan.arrays if array.stage == PREPARE)
    if cultures:
        lines.append(f"{plural(cultures, 'culture')} to prepare before, each in a job of its own")
    lines.append(
        f"about {plan.price.gpu_hours:.2f} GPU-hours, {plan.price.su:.2f} SU at {gpu.su_per_hour:g} a GPU-hour "
        f"({plan.source})"
    )
    return lines


def sent_line(arrays: Iterable[JobArray]) -> str:
    """Such as `sent: 5 prepare and 5 train tasks`."""
    tasks = Counter[str]()
    for array in arrays:
        tasks[array.stage] += len(array.tasks)
    return f"sent: {' and '.join(f'{count} {stage}' for stage, count in tasks.items())} tasks"


def nothing_lines(states: Iterable[RunState]) -> list[str]:
    """Why a sweep sends nothing: what is under way, and what waits for a person."""
    runs = list(states)
    under_way = [state for state in runs if state.in_queue]
    failed = [state for state in runs if state.status is Status.failed and not state.in_queue]
    lines = []
    if under_way:
        lines.append(f"nothing to send: {plural(len(under_way), 'run')} still in the queue or at work")
    if failed:
        causes = Counter(state.cause for state in failed)
        causes_text = ", ".join(f"{count} {cause}" for cause, count in causes.items())
        lines.append(
            f"{plural(len(failed), 'run')} failed ({causes_text}); `python -m scoft_hpc.why` tells more, "
            f"`python -m scoft_hpc.retry` sends them again"
        )
    return lines


def _range(limits: list[int]) -> str:
    shown = list(dict.fromkeys([limits[0], limits[-1]])) if limits else []
    return " to ".join(f"{minutes // 60}:{minutes % 60:02d}" for minutes in shown)
