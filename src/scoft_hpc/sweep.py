"""Run a study: an ablation for cultures and seeds, packed and sent; ends with table and report.

    python -m scoft_hpc.sweep culture=all ablation=loss_terms
    python -m scoft_hpc.sweep culture=all ablation=loss_terms cluster=bridges2 cluster.account=…

On this machine it watches the jobs to their end; on a cluster it says what they will cost, sends them and returns.
The same command again sends what is missing, and prints the table of a finished study. Failed runs are tried again
here on this machine; on a cluster, where that costs, `scoft_hpc.retry` does it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from scoft_hpc.config.check import check_launching, check_output
from scoft_hpc.config.cluster import Scheduler
from scoft_hpc.config.commands import Budget, PlanMode, SweepConfig
from scoft_hpc.config.compose import command
from scoft_hpc.config.schema import WandbMode
from scoft_hpc.errors import INTERRUPTED, ConfigError, RunError
from scoft_hpc.gather import show
from scoft_hpc.launch.local.executor import DOOR
from scoft_hpc.launch.local.run_study import follow, send
from scoft_hpc.launch.planning import packing, plan_store, preflight
from scoft_hpc.launch.planning.host_resources import Slot, lanes_of, slots
from scoft_hpc.launch.planning.packing import Pack
from scoft_hpc.launch.planning.plan import Plan, make
from scoft_hpc.launch.search import report
from scoft_hpc.launch.search import search as tuning
from scoft_hpc.launch.search.search import Outcome
from scoft_hpc.launch.search.trials import Trial
from scoft_hpc.launch.slurm import launcher
from scoft_hpc.launch.tracking.submission_plan import Request, coming
from scoft_hpc.launch.views import submission_messages, tables
from scoft_hpc.results import study as results
from scoft_hpc.results import table
from scoft_hpc.results.gather import Gathered, gather
from scoft_hpc.results.measures import MEASURES
from scoft_hpc.study import costs, job_array, lease, run_status
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import launch_claim, log_of, near
from scoft_hpc.study.run_status import Status

CTRL_C = 130
"""Exit code of a command that a person stopped."""

BROKEN = (Status.failed, Status.lost)


def sweep(config: SweepConfig, words: Sequence[str], door: str = DOOR) -> int:
    """Plan, send, watch and gather. `words` are the command line's; `door` is the module that the jobs call.

    Returns:
        0 if every run is done, 4 if some failed, 75 if some can be continued, 130 if a person stopped it.
    """
    _refuse_flags(words)
    if faults := check_launching(config):
        raise ConfigError.of(faults)
    check_output(config.output)
    console = Console()
    if any(entry is not None for entry in config.tune.space.values()):
        return _tune(console, config, words, door)
    plan = make(config, words)
    study = StudyDir(plan.output / plan.study)
    plan_store.check(study, plan)
    preflight.require(
        [run for run in plan.runs if not study.run(run.run_id).result.exists()], plan.output, config.cluster
    )
    if config.cluster.scheduler is Scheduler.slurm:
        return _to_slurm(console, config, study, plan)
    unfinished = [run for run in plan.runs if not study.run(run.run_id).result.exists()]
    places = slots(config.device, config.cluster.jobs, config.threads, len(unfinished))
    lanes = lanes_of([run.config for run in plan.runs], config.cluster)
    if config.plan is PlanMode.only:
        _print_plan(console, study, plan, packing.pack(unfinished, len(places), lanes))
        return 0
    _say(
        console, f"study {plan.study}: {len(plan.runs)} runs, {len(plan.runs) - len(unfinished)} of them done"
    )
    if not unfinished and study.plan.exists():
        return _finish(
            console, study, _fresh(study) or gather(study, config.wandb.mode, config.tensorboard), {}
        )
    if lease.alive(launch_claim(study)) is not None:
        return _follow(console, study)
    _say(console, f"{_places(places)}; folder {near(study.path)}")
    try:
        ending = send(study, plan, places, lanes, console, door)
    except RunError:  # another one was faster
        return _follow(console, study)
    if ending.stopped:
        done = sum(study.run(run.run_id).result.exists() for run in plan.runs)
        _say(console, f"stopped; {done} of {len(plan.runs)} runs are done. The same command continues.")
        return CTRL_C
    return _finish(console, study, gather(study, config.wandb.mode, config.tensorboard), ending.told)


def _tune(console: Console, config: SweepConfig, words: Sequence[str], door: str) -> int:
    """Search for settings, round by round; end with the trials, the best of them and what to do with it."""
    measure = config.tune.measure or ("default_style" if config.data.name == "toy" else "kid")
    search = tuning.of(config, words, measure, lower=_lower(measure))

    def send_round(config: SweepConfig, study: StudyDir, plan: Plan) -> Outcome:
        if config.cluster.scheduler is Scheduler.slurm:
            return _round_to_slurm(console, config, study, plan)
        return _round_here(console, config, study, plan, door)

    def tell(found: Sequence[Trial]) -> None:
        _say(console, report.progress_line(search, found))

    _say_all(console, report.space_lines(search))
    outcome = tuning.run(search, send_round, tell)
    found = search.trials()
    if outcome is Outcome.shown:
        return 0
    if outcome is Outcome.stopped:
        _say(console, "stopped; the same command continues.")
        return CTRL_C
    if found:
        console.print("", report.trials_table(search, found), "")
    if outcome is Outcome.away:
        _say(console, f"round {found[-1].round} is on its way; when it is over, the same command goes on.")
        return 0
    _say_all(console, report.ending_lines(search, found))
    return RunError.exit_code if any(trial.value is None for trial in found) else 0


def _lower(measure: str) -> bool:
    """Whether less of the measure is better."""
    ends = {name: one.better for name, one in MEASURES.items() if one.better in ("lower", "higher")}
    if measure not in ends:
        raise ConfigError(
            f"tune.measure={measure}: expected one of which more or less is better: {', '.join(ends)}."
        )
    return ends[measure] == "lower"


def _round_here(console: Console, config: SweepConfig, study: StudyDir, plan: Plan, door: str) -> Outcome:
    """Send a search's round on this machine and watch it to its end; a run that was lost counts as failed."""
    unfinished = [run for run in plan.runs if not study.run(run.run_id).result.exists()]
    preflight.require(unfinished, plan.output, config.cluster)
    places = slots(config.device, config.cluster.jobs, config.threads, len(unfinished))
    lanes = lanes_of([run.config for run in plan.runs], config.cluster)
    if config.plan is PlanMode.only:
        _print_plan(console, study, plan, packing.pack(unfinished, len(places), lanes))
        return Outcome.shown
    _say(console, f"round {plan.study}: {len(unfinished)} runs; {_places(places)}")
    ending = send(study, plan, places, lanes, console, door)
    if ending.stopped:
        return Outcome.stopped
    for run in plan.runs:
        folder = study.run(run.run_id)
        if not folder.ended:
            told = ending.told.get(run.run_id, "its job ended without a word")
            run_status.write_failure(folder, "job", told, run_status.step(folder))
    return Outcome.over


def _round_to_slurm(console: Console, config: SweepConfig, study: StudyDir, plan: Plan) -> Outcome:
    """Send what is missing of a search's round, if anything is, and return."""
    arrays = [job_array.read_all(other) for other in tuning.earlier(study)]
    earlier = sum(costs.total(costs.by_stage(some)).su for some in arrays)
    if config.budget.su is not None:
        config = replace(config, budget=Budget(max(0.0, config.budget.su - earlier)))
    request = Request(config.cluster, limit=config.budget.su)
    seen = launcher.look(study, plan.runs, request)
    at_work = any(state.alive for state in seen.states.values())
    if study.plan.exists() and not at_work and not coming(study, plan.runs, seen, request).runs:
        return Outcome.over
    preflight.require(plan.runs, plan.output, config.cluster)
    _to_slurm(console, config, study, plan)
    return Outcome.shown if config.plan is PlanMode.only else Outcome.away


def _to_slurm(console: Console, config: SweepConfig, study: StudyDir, plan: Plan) -> int:
    """Say what is missing and what it will cost, send it, and return without waiting for anything."""
    request = Request(config.cluster, limit=config.budget.su)
    seen = launcher.look(study, plan.runs, request)
    for note in seen.notes:
        _say(console, note)
    done = sum(state.status is Status.done for state in seen.states.values())
    planned = coming(study, plan.runs, seen, request)
    _say(
        console, f"study {plan.study}: {len(plan.runs)} runs, {done} of them done; folder {near(study.path)}"
    )
    if planned.runs:
        _say_all(console, submission_messages.coming_lines(planned, config.cluster))
    if config.plan is PlanMode.only:
        _print_plan(console, study, plan, planned.packs)
        return 0
    if done == len(plan.runs):
        return _finish(
            console, study, _fresh(study) or gather(study, config.wandb.mode, config.tensorboard), {}
        )
    sent = launcher.launch(study, plan.runs, request, ready=lambda: plan_store.write(study, plan))
    if sent.runs:
        _say(
            console,
            f"{submission_messages.sent_line(sent.batches)}; `python -m scoft_hpc.status` tells how they stand",
        )
    else:
        if planned.runs:  # another one has sent them since we looked
            seen = launcher.look(study, plan.runs, request)
        _say_all(console, submission_messages.nothing_lines(seen.states.values()))
    return 0


def _follow(console: Console, study: StudyDir) -> int:
    """Another process launches this study: show how it goes, and the table when it is over."""
    owner = lease.alive(launch_claim(study))
    _say(
        console,
        f"it is being run by {owner or 'another process'}; watching that. Ctrl-C here stops only this view.",
    )
    if not follow(study, console):
        return CTRL_C
    return _finish(console, study, gather(study, WandbMode.disabled), {})  # to publish is the owner's


def _finish(console: Console, study: StudyDir, gathered: Gathered, told: dict[str, str]) -> int:
    """Print the results table, what is not done and where to look; return the exit code."""
    show(gathered)
    states = {run.run_id: run.status for run in gathered.study.runs}
    left = [status for status in states.values() if status is not Status.done]
    if not left:
        return 0
    for name, status in states.items():
        if status is Status.lost:
            _say(console, f"{name} was lost{tables.reason(study.run(name), told.get(name))}")
    logs = (log_of(study, name) or study.logs for name, status in states.items() if status in BROKEN)
    for log in dict.fromkeys(logs):
        _say(console, f"log      {log}")
    _say(console, f"{len(left)} of {len(states)} runs are not done; the same command continues.")
    return RunError.exit_code if any(status in BROKEN for status in left) else INTERRUPTED


def _fresh(study: StudyDir) -> Gathered | None:
    """The results as they were gathered last, if nothing was finished since: no report is drawn again."""
    made = [path.stat().st_mtime for path in (study.results, study.report) if path.exists()]
    found = results.read(study)
    done = [run.folder.result.stat().st_mtime for run in found.runs if run.folder.result.exists()]
    if len(made) < 2 or len(done) < len(found.runs) or min(made) <= max(done):
        return None
    return Gathered(found, table.rows(found), study.results, study.report, list(found.notes))


def _print_plan(console: Console, study: StudyDir, plan: Plan, packs: Sequence[Pack]) -> None:
    console.print(tables.plan_table(plan.runs, packs), "")
    if packs:
        console.print(tables.pack_table(packs), "")
    todo, count = sum(len(p.runs) for p in packs), f"{len(packs)} pack{'s' * (len(packs) != 1)}"
    _say(console, f"study {study.name}: {len(plan.runs)} runs, {todo} to do in {count}; nothing was sent.")


def _say_all(console: Console, lines: Sequence[str]) -> None:
    for line in lines:
        _say(console, line)


def _refuse_flags(words: Sequence[str]) -> None:
    for word in words:
        if word.startswith("-"):
            raise ConfigError(
                f"`{word}`: a sweep is not Hydra's multirun and takes no other folder of settings; "
                f"lists go to the settings themselves, such as 'culture=[korea,china]' or 'seed=[0,1,2]'."
            )


def _places(places: Sequence[Slot]) -> str:
    names = ", ".join(dict.fromkeys(place.device for place in places))
    jobs, threads = len(places), places[0].env["OMP_NUM_THREADS"]
    return f"{jobs} job{'s' * (jobs > 1)} at a time on {names}, {threads} thread{'s' * (threads != '1')} each"


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def main() -> int:
    words = sys.argv[1:]
    try:
        return command("sweep", lambda config: sweep(config, words), words)
    except KeyboardInterrupt:
        print("stopped; the same command continues.", file=sys.stderr)
        return CTRL_C


if __name__ == "__main__":
    raise SystemExit(main())
