"""A sweep from its plan to the end of its jobs: plan, check, pack, then run here or submit to Slurm.

Results are not gathered here: the caller does that, since this package and `results` know nothing of each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from rich.console import Console

from scoft_hpc.config.cluster import Scheduler
from scoft_hpc.config.command_configs import PlanMode, SweepConfig
from scoft_hpc.config.validation import require_writable, validate_launch
from scoft_hpc.console import print_line, print_lines
from scoft_hpc.errors import INTERRUPTED, ConfigError, RunError
from scoft_hpc.launch.local.executor import JOB_MODULE
from scoft_hpc.launch.local.run_study import run_study, watch_study
from scoft_hpc.launch.planning import packing, plan_store, preflight
from scoft_hpc.launch.planning.host_resources import JobSlot, job_slots, max_lanes
from scoft_hpc.launch.planning.packing import Pack
from scoft_hpc.launch.planning.plan import Plan, Run, build_plan
from scoft_hpc.launch.slurm import launcher
from scoft_hpc.launch.tracking.submission_plan import SubmissionRequest, plan_submission
from scoft_hpc.launch.views import submission_messages, tables
from scoft_hpc.study import lease
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import display_path, launch_lease, log_of
from scoft_hpc.study.run_status import BROKEN, Status
from scoft_hpc.text import plural


class SweepState(Enum):
    """How far a sweep came: `complete` if every run was done before, `followed` if another process ran it."""

    planned = "planned"
    submitted = "submitted"
    stopped = "stopped"
    complete = "complete"
    ran = "ran"
    followed = "followed"


@dataclass(frozen=True)
class SweepOutcome:
    """The study, how far it came, and what is known of lost runs, by run id."""

    study: StudyDir
    state: SweepState
    lost_reasons: Mapping[str, str] = field(default_factory=dict)


def run_sweep(
    console: Console, config: SweepConfig, overrides: Sequence[str], job_module: str = JOB_MODULE
) -> SweepOutcome:
    """Plan the study; run it here and watch it to its end, or submit to Slurm what is missing and return.

    Args:
        overrides: of the command line; the plan stores them.
        job_module: what a local job calls.

    Raises:
        ScoftError: if the settings, the data or the machine do not allow it, or the study is another one.
    """
    check_settings(config)
    plan = build_plan(config, overrides)
    study = StudyDir(plan.output / plan.study)
    plan_store.require_same_plan(study, plan)
    preflight.require_capacity(unfinished(study, plan), plan.output, config.cluster)
    if config.cluster.scheduler is Scheduler.slurm:
        return SweepOutcome(study, submit_to_slurm(console, config, study, plan))
    return _run_here(console, config, study, plan, job_module)


def check_settings(config: SweepConfig) -> None:
    """Raise ConfigError, before anything is planned, if it cannot be launched or written as the settings say."""
    if faults := validate_launch(config):
        raise ConfigError.from_messages(faults)
    require_writable(config.output)


def unfinished(study: StudyDir, plan: Plan) -> list[Run]:
    """The planned runs that have no result."""
    return [run for run in plan.runs if not study.run(run.run_id).result.exists()]


def slots_and_lanes(config: SweepConfig, plan: Plan, runs: Sequence[Run]) -> tuple[list[JobSlot], int | None]:
    """This machine's places for jobs that train `runs`, and the most lanes of one job (None: no limit)."""
    places = job_slots(config.device, config.cluster.jobs, config.threads, len(runs))
    return places, max_lanes([run.config for run in plan.runs], config.cluster)


def _run_here(
    console: Console, config: SweepConfig, study: StudyDir, plan: Plan, job_module: str
) -> SweepOutcome:
    runs = unfinished(study, plan)
    places, lanes = slots_and_lanes(config, plan, runs)
    if config.plan is PlanMode.only:
        print_plan(console, study, plan, packing.make_packs(runs, len(places), lanes))
        return SweepOutcome(study, SweepState.planned)
    n_runs = len(plan.runs)
    print_line(console, f"study {plan.study}: {n_runs} runs, {n_runs - len(runs)} of them done")
    if not runs and study.plan.exists():
        return SweepOutcome(study, SweepState.complete)
    if lease.live_owner(launch_lease(study)) is not None:
        return _watch(console, study)
    print_line(console, f"{describe_slots(places)}; folder {display_path(study.path)}")
    try:
        outcome = run_study(study, plan, places, lanes, console, job_module)
    except RunError:  # another process took the lease in between
        return _watch(console, study)
    if outcome.stopped:
        n_done = n_runs - len(unfinished(study, plan))
        print_line(console, f"stopped; {n_done} of {n_runs} runs are done. The same command continues.")
        return SweepOutcome(study, SweepState.stopped)
    return SweepOutcome(study, SweepState.ran, outcome.lost_reasons)


def _watch(console: Console, study: StudyDir) -> SweepOutcome:
    """Show how the study goes that another process runs, until it is over."""
    owner = lease.live_owner(launch_lease(study)) or "another process"
    print_line(console, f"it is being run by {owner}; watching that. Ctrl-C here stops only this view.")
    return SweepOutcome(study, SweepState.followed if watch_study(study, console) else SweepState.stopped)


def submit_to_slurm(console: Console, config: SweepConfig, study: StudyDir, plan: Plan) -> SweepState:
    """Say what is missing and what it will cost, submit it, and return without waiting for anything."""
    request = SubmissionRequest(config.cluster, budget_su=config.budget.su)
    seen = launcher.read_state(study, plan.runs, request)
    print_lines(console, seen.warnings)
    n_done = sum(state.status is Status.done for state in seen.states.values())
    planned = plan_submission(study, plan.runs, seen, request)
    print_line(
        console,
        f"study {plan.study}: {len(plan.runs)} runs, {n_done} of them done; folder {display_path(study.path)}",
    )
    if planned.runs:
        print_lines(console, submission_messages.submission_lines(planned, config.cluster))
    if config.plan is PlanMode.only:
        print_plan(console, study, plan, planned.packs)
        return SweepState.planned
    if n_done == len(plan.runs):
        return SweepState.complete
    sent = launcher.submit_missing(study, plan.runs, request, ready=lambda: plan_store.write(study, plan))
    if sent.runs:
        line = submission_messages.sent_line(sent.arrays)
        print_line(console, f"{line}; `python -m scoft_hpc.status` tells how they stand")
    else:
        if planned.runs:  # another process has submitted them since
            seen = launcher.read_state(study, plan.runs, request)
        print_lines(console, submission_messages.nothing_lines(seen.states.values()))
    return SweepState.submitted


def print_plan(console: Console, study: StudyDir, plan: Plan, packs: Sequence[Pack]) -> None:
    """The runs and their packs as tables; nothing is written."""
    console.print(tables.plan_table(plan.runs, packs), "")
    if packs:
        console.print(tables.pack_table(packs), "")
    n_runs, n_packs = sum(len(pack.runs) for pack in packs), plural(len(packs), "pack")
    print_line(
        console, f"study {study.name}: {len(plan.runs)} runs, {n_runs} to do in {n_packs}; nothing was sent."
    )


def describe_slots(places: Sequence[JobSlot]) -> str:
    """Such as `2 jobs at a time on CPU, 1 thread each`."""
    names = ", ".join(dict.fromkeys(place.device for place in places))
    threads = plural(int(places[0].env["OMP_NUM_THREADS"]), "thread")
    return f"{plural(len(places), 'job')} at a time on {names}, {threads} each"


def ending_lines(
    study: StudyDir, statuses: Mapping[str, Status], lost_reasons: Mapping[str, str]
) -> list[str]:
    """What is not done, why runs were lost and where to look, by run id; empty if all runs are done."""
    n_open = sum(status is not Status.done for status in statuses.values())
    if not n_open:
        return []
    lost = [name for name, status in statuses.items() if status is Status.lost]
    broken = [name for name, status in statuses.items() if status in BROKEN]
    logs = dict.fromkeys(log_of(study, name) or study.logs for name in broken)
    return [
        *(f"{name} was lost{tables.reason(study.run(name), lost_reasons.get(name))}" for name in lost),
        *(f"log      {log}" for log in logs),
        f"{n_open} of {len(statuses)} runs are not done; the same command continues.",
    ]


def exit_code(statuses: Collection[Status]) -> int:
    """0 if every run is done, 4 if some failed or were lost, 75 if the others can be continued."""
    if all(status is Status.done for status in statuses):
        return 0
    return RunError.exit_code if any(status in BROKEN for status in statuses) else INTERRUPTED
