"""Run a search on this machine or on Slurm, round by round, and print its progress, trials and outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from scoft_hpc.config.cluster import Scheduler
from scoft_hpc.config.command_configs import Budget, PlanMode, SweepConfig
from scoft_hpc.config.plain import to_override
from scoft_hpc.config.search_space import ChoiceSet, Range
from scoft_hpc.console import CTRL_C, print_line, print_lines
from scoft_hpc.errors import RunError
from scoft_hpc.launch import run_sweep
from scoft_hpc.launch.local.executor import JOB_MODULE
from scoft_hpc.launch.local.run_study import run_study
from scoft_hpc.launch.planning import packing, preflight
from scoft_hpc.launch.planning.plan import Plan
from scoft_hpc.launch.search import search
from scoft_hpc.launch.search.search import RoundOutcome, Search, best, report_command
from scoft_hpc.launch.search.trials import Trial
from scoft_hpc.launch.slurm import launcher
from scoft_hpc.launch.tracking.submission_plan import SubmissionRequest, plan_submission
from scoft_hpc.launch.views.tables import new_table
from scoft_hpc.study import costs, job_array, run_status
from scoft_hpc.study.paths import StudyDir


def run_search(
    console: Console,
    config: SweepConfig,
    overrides: Sequence[str],
    job_module: str = JOB_MODULE,
) -> int:
    """Search for settings, round by round; end with the trials, the best of them and what to do with it.

    Returns:
        0, 4 if trials have no value, 130 if a person stopped it.
    """
    run_sweep.check_settings(config)
    this = search.load_search(config, overrides)

    def run_round(config: SweepConfig, study: StudyDir, plan: Plan) -> RoundOutcome:
        if config.cluster.scheduler is Scheduler.slurm:
            return _round_on_slurm(console, config, study, plan)
        return _round_locally(console, config, study, plan, job_module)

    print_lines(console, _space_lines(this))
    outcome = search.run(this, run_round, lambda trials: print_line(console, _progress_line(this, trials)))
    trials = this.trials()
    if outcome is RoundOutcome.planned_only:
        return 0
    if outcome is RoundOutcome.stopped:
        print_line(console, "stopped; the same command continues.")
        return CTRL_C
    if trials:
        console.print("", _trials_table(this, trials), "")
    if outcome is RoundOutcome.submitted:
        number = trials[-1].round
        print_line(console, f"round {number} is submitted; when it has ended, the same command continues.")
        return 0
    print_lines(console, ending_lines(this, trials))
    return RunError.exit_code if any(trial.value is None for trial in trials) else 0


def _round_locally(
    console: Console, config: SweepConfig, study: StudyDir, plan: Plan, job_module: str
) -> RoundOutcome:
    """Run a round on this machine and watch it to its end; a run that was lost counts as failed."""
    runs = run_sweep.unfinished(study, plan)
    preflight.require_capacity(runs, plan.output, config.cluster)
    slots, lanes = run_sweep.slots_and_lanes(config, plan, runs)
    if config.plan is PlanMode.only:
        run_sweep.print_plan(console, study, plan, packing.make_packs(runs, len(slots), lanes))
        return RoundOutcome.planned_only
    print_line(console, f"round {plan.study}: {len(runs)} runs; {run_sweep.describe_slots(slots)}")
    outcome = run_study(study, plan, slots, lanes, console, job_module)
    if outcome.stopped:
        return RoundOutcome.stopped
    for run in plan.runs:
        folder = study.run(run.run_id)
        if not folder.ended:
            reason = outcome.lost_reasons.get(run.run_id, "its job ended without recording a reason")
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


def _space_lines(search: Search) -> list[str]:
    """What is searched, in how many trials, and by which measure."""
    tune = search.config.tune
    seeds = to_override(search.config.seed)
    least = "least" if search.lower else "most"
    title = f"search {search.name}: {tune.trials} trials in rounds of {tune.parallel}, for the {least} {search.measure}"
    return [
        f"{title} (mean over cultures and seed {seeds})",
        *(f"  {name}: {_describe_values(values)}" for name, values in search.space.items()),
    ]


def _progress_line(search: Search, trials: Sequence[Trial]) -> str:
    """After a round: how many trials are done, and the best of them."""
    best_trial = best(search, trials)
    standing = (
        "none has a value"
        if best_trial is None
        else f"best so far {_assignments(best_trial)} ({best_trial.value:.4g})"
    )
    return (
        f"round {trials[-1].round} is over: {len(trials)} of {search.config.tune.trials} trials; {standing}"
    )


def _trials_table(search: Search, trials: Sequence[Trial]) -> Table:
    """One row per trial; the best one is bold."""
    best_trial = best(search, trials)
    short_names = [name.split(".")[-1] for name in search.space]
    heads = [
        end if short_names.count(end) == 1 else name
        for end, name in zip(short_names, search.space, strict=True)
    ]
    table = new_table("trial", "round", *heads, f"{search.measure} {'↓' if search.lower else '↑'}", left=0)
    for trial in trials:
        values = [_short(trial.values[name]) for name in search.space]
        state = "failed" if trial.reason else "–"
        value = state if trial.value is None else f"{trial.value:.4g}"
        style = "bold green" if trial is best_trial else "red" if trial.reason else ""
        table.add_row(str(trial.number), str(trial.round), *values, value, style=style)
    return table


def ending_lines(search: Search, trials: Sequence[Trial]) -> list[str]:
    """The failures with their reasons, the best trial, and the command that measures it on fresh seeds."""
    lines = [f"trial {trial.number} failed: {trial.reason}" for trial in trials if trial.reason]
    best_trial = best(search, trials)
    if best_trial is None:
        return [*lines, "no trial has a value. Fix what the reasons name; the same command tries again."]
    n_trials = search.config.tune.trials
    if len(trials) < n_trials:
        end = (
            "every trial of its last round failed"
            if all(trial.value is None for trial in trials if trial.round == trials[-1].round)
            else "the space has no untried values"
        )
        lines.append(f"the search ended after {len(trials)} of {n_trials} trials: {end}.")
    seeds = to_override(search.config.seed)
    warning = (
        f"Its {best_trial.value:.4g} is too good: the best of {len(trials)} is partly the luckiest, "
        f"on seed {seeds} and the prompts that chose it. Do not report it. "
        f"Measure the settings on fresh seeds, beside arms that were tuned as long or, if you say so, not at all:"
    )
    return [
        *lines,
        f"best: trial {best_trial.number}, {_assignments(best_trial)}",
        warning,
        f"  {report_command(search, best_trial)}",
        f"trials   {search.journal}",
    ]


def _describe_values(values: Range | ChoiceSet) -> str:
    if isinstance(values, ChoiceSet):
        return f"one of {', '.join(map(to_override, values.values))}"
    return f"{values.low:g} to {values.high:g}{', by orders of magnitude' if values.log else ''}"


def _assignments(trial: Trial) -> str:
    return " ".join(f"{name}={to_override(value)}" for name, value in trial.values.items())


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else to_override(value)
