"""A search on this machine or on Slurm: how each of its rounds is run, and what is printed about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from scoft_hpc.config.cluster import Scheduler
from scoft_hpc.config.command_configs import Budget, PlanMode, SweepConfig
from scoft_hpc.console import CTRL_C, print_line, print_lines
from scoft_hpc.errors import RunError
from scoft_hpc.launch import run_sweep
from scoft_hpc.launch.local.executor import JOB_MODULE
from scoft_hpc.launch.local.run_study import run_study
from scoft_hpc.launch.planning import packing, preflight
from scoft_hpc.launch.planning.plan import Plan
from scoft_hpc.launch.search import report, search
from scoft_hpc.launch.search.search import RoundOutcome
from scoft_hpc.launch.search.trials import Trial
from scoft_hpc.launch.slurm import launcher
from scoft_hpc.launch.tracking.submission_plan import SubmissionRequest, plan_submission
from scoft_hpc.study import costs, job_array, run_status
from scoft_hpc.study.paths import StudyDir


def run_search(
    console: Console,
    config: SweepConfig,
    words: Sequence[str],
    measure: str,
    lower: bool,
    job_module: str = JOB_MODULE,
) -> int:
    """Search for settings, round by round; end with the trials, the best of them and what to do with it.

    Args:
        measure: the metric to optimise; `lower`: less of it is better.

    Returns:
        0, 4 if trials have no value, 130 if a person stopped it.
    """
    run_sweep.check_settings(config)
    this = search.load_search(config, words, measure, lower)

    def run_round(config: SweepConfig, study: StudyDir, plan: Plan) -> RoundOutcome:
        if config.cluster.scheduler is Scheduler.slurm:
            return _round_on_slurm(console, config, study, plan)
        return _round_here(console, config, study, plan, job_module)

    def print_progress(trials: Sequence[Trial]) -> None:
        print_line(console, report.progress_line(this, trials))

    print_lines(console, report.space_lines(this))
    outcome = search.run(this, run_round, print_progress)
    trials = this.trials()
    if outcome is RoundOutcome.planned_only:
        return 0
    if outcome is RoundOutcome.stopped:
        print_line(console, "stopped; the same command continues.")
        return CTRL_C
    if trials:
        console.print("", report.trials_table(this, trials), "")
    if outcome is RoundOutcome.submitted:
        number = trials[-1].round
        print_line(console, f"round {number} is on its way; when it is over, the same command goes on.")
        return 0
    print_lines(console, report.ending_lines(this, trials))
    return RunError.exit_code if any(trial.value is None for trial in trials) else 0


def _round_here(
    console: Console, config: SweepConfig, study: StudyDir, plan: Plan, job_module: str
) -> RoundOutcome:
    """Run a round on this machine and watch it to its end; a run that was lost counts as failed."""
    runs = run_sweep.unfinished(study, plan)
    preflight.require_capacity(runs, plan.output, config.cluster)
    places, lanes = run_sweep.slots_and_lanes(config, plan, runs)
    if config.plan is PlanMode.only:
        run_sweep.print_plan(console, study, plan, packing.make_packs(runs, len(places), lanes))
        return RoundOutcome.planned_only
    print_line(console, f"round {plan.study}: {len(runs)} runs; {run_sweep.describe_slots(places)}")
    outcome = run_study(study, plan, places, lanes, console, job_module)
    if outcome.stopped:
        return RoundOutcome.stopped
    for run in plan.runs:
        folder = study.run(run.run_id)
        if not folder.ended:
            reason = outcome.lost_reasons.get(run.run_id, "its job ended without a word")
            run_status.write_failure(folder, "job", reason, run_status.step(folder))
    return RoundOutcome.over


def _round_on_slurm(console: Console, config: SweepConfig, study: StudyDir, plan: Plan) -> RoundOutcome:
    """Submit what is missing of a round, if anything is, and return."""
    arrays = [array for other in search.earlier(study) for array in job_array.read_all(other)]
    earlier = costs.total(costs.by_stage(arrays)).su
    if config.budget.su is not None:
        config = replace(config, budget=Budget(max(0.0, config.budget.su - earlier)))
    request = SubmissionRequest(config.cluster, budget_su=config.budget.su)
    seen = launcher.read_state(study, plan.runs, request)
    at_work = any(state.in_queue for state in seen.states.values())
    if study.plan.exists() and not at_work and not plan_submission(study, plan.runs, seen, request).runs:
        return RoundOutcome.over
    preflight.require_capacity(plan.runs, plan.output, config.cluster)
    run_sweep.submit_to_slurm(console, config, study, plan)
    return RoundOutcome.planned_only if config.plan is PlanMode.only else RoundOutcome.submitted
