"""A search for settings: rounds of trials, each round planned, packed and sent as any other study.

The rounds' plans and results are all that is remembered. The same command finishes what is unfinished, proposes the
next round and sends it: in a loop on one machine, a round a call on a cluster.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any

from scoft_hpc.config import compose
from scoft_hpc.config import search_space as spaces
from scoft_hpc.config.command_configs import Ablation, PlanMode, SweepConfig
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.config.nodes import settings
from scoft_hpc.config.plain import flat, science_fields, to_override, to_plain
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.config.search_space import Space
from scoft_hpc.config.setting import lineage
from scoft_hpc.errors import ConfigError, LaunchError
from scoft_hpc.launch.planning import plan, plan_store
from scoft_hpc.launch.planning.plan import Plan
from scoft_hpc.launch.search import sampler, trials
from scoft_hpc.launch.search.trials import Trial
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.periodic import hold
from scoft_hpc.study.plan_file import launch_lease

VERSION = 1
"""Of search.json."""
N_FRESH_SEEDS = 3
"""Seeds of that study."""


class RoundOutcome(Enum):
    """What became of a round: it is over, a person stopped it, it was submitted to Slurm, or it was planned only."""

    over = "over"
    stopped = "stopped"
    submitted = "submitted"
    planned_only = "planned only"


RunRound = Callable[[SweepConfig, StudyDir, Plan], RoundOutcome]
ReportTrials = Callable[[Sequence[Trial]], None]


@dataclass(frozen=True)
class Search:
    """What is searched, and where; `lower`: whether less of the measure is better."""

    name: str
    output: Path
    space: Space
    measure: str
    lower: bool
    config: SweepConfig
    overrides: tuple[str, ...]

    @property
    def folder(self) -> StudyDir:
        """Holds the search's own files; its rounds lie beside it."""
        return StudyDir(self.output / self.name)

    @property
    def journal(self) -> Path:
        return self.folder.path / "optuna.journal"

    @property
    def record(self) -> Path:
        """What makes it this search: a search never changes."""
        return self.folder.path / "search.json"

    def trials(self) -> list[Trial]:
        return trials.load_trials(self.output, self.name, self.space, self.measure)


def load_search(config: SweepConfig, overrides: Sequence[str]) -> Search:
    """The search that the settings ask for.

    Raises:
        ConfigError: with all faults of the space, or if there is something else to vary, or no Optuna.
        LaunchError: if it was begun with other settings, or its name is a study's.
    """
    if config.ablation.axes:
        raise ConfigError(
            f"ablation={config.ablation.name} beside tune.space: a search varies what its space names and nothing "
            f"else. Leave one of them out; sweep=tune comes without an ablation."
        )
    metric = config.tune.measure or ("default_style" if config.data.name == "toy" else "kid")
    lower = _lower_is_better(metric)
    space = spaces.read(config.tune.space, overrides)
    sampler.require()
    output = Path(config.output).expanduser().absolute()
    search = Search(config.study or "tune", output, space, metric, lower, config, tuple(overrides))
    if search.folder.plan.exists():
        raise LaunchError(f"{search.folder.path} is a study; give the search another name: study=NAME.")
    _require_same(search)
    return search


def _lower_is_better(metric: str) -> bool:
    directions = {
        name: row.direction for name, row in METRICS.items() if row.direction in ("lower", "higher")
    }
    if metric not in directions:
        raise ConfigError(
            f"tune.measure={metric}: expected a metric with a direction: {', '.join(directions)}."
        )
    return directions[metric] == "lower"


def run(search: Search, run_round: RunRound, report_trials: ReportTrials) -> RoundOutcome:
    """Finish the rounds there are and go on to the last trial, or to the first round that is not over.

    `report_trials` is called with all trials after each round; the journal has them by then.

    Raises:
        RunError: if another process runs this search; the message names it.
        LaunchError: if the folder cannot be written to, or a round on disk is of other settings.
    """
    if search.config.plan is PlanMode.only:
        return _show(search, run_round)
    try:
        with hold(launch_lease(search.folder)):
            for number, values in _rounds(search):
                outcome = _run_round(search, plan_of(search, number, values), run_round, report_trials)
                of_round = [trial for trial in search.trials() if trial.round == number]
                # Whatever the reason, further trials would hardly do better than a round without any value.
                if outcome is not RoundOutcome.over or all(trial.value is None for trial in of_round):
                    return outcome
            return RoundOutcome.over
    except OSError as error:
        where = error.filename or search.folder.path
        raise LaunchError(f"{where}: {error.strerror}. Fix this and start again.") from None


def plan_of(search: Search, number: int, values: Sequence[dict[str, Any]]) -> Plan:
    """The round as a study: an arm a trial, for all cultures and seeds."""
    axes = {name: [trial[name] for trial in values] for name in search.space}
    together = [list(axes)] if len(axes) > 1 else []
    study = trials.folder_of(search.output, search.name, number).name
    arms = Ablation(name=search.name, axes=axes, zip=together)
    return plan.build_plan(replace(search.config, ablation=arms, study=study), search.overrides)


def earlier(study: StudyDir) -> list[StudyDir]:
    """The rounds before this one."""
    name, _, number = study.name.rpartition("-r")
    return trials.rounds(study.path.parent, name)[: int(number) - 1]


def best(search: Search, trials_so_far: Sequence[Trial]) -> Trial | None:
    """The trial with the best value; None where none has one."""
    sign = 1 if search.lower else -1
    with_value = [trial for trial in trials_so_far if trial.value is not None]
    return min(with_value, key=lambda trial: sign * (trial.value or 0.0), default=None)


def report_command(search: Search, trial: Trial) -> str:
    """The command of the study that reports what the trial's settings are worth, on seeds that the search has not seen.

    It has the search's overrides, and as overrides what the named search itself set of a run's settings.
    """
    seeds = search.config.seed if isinstance(search.config.seed, (list, tuple)) else [search.config.seed]
    fresh = [seed for seed in range(len(seeds) + N_FRESH_SEEDS) if seed not in seeds][:N_FRESH_SEEDS]
    overrides = [text for text in search.overrides if _is_reported(text.lstrip("+~").partition("=")[0])]
    set_by_file = _difference(compose.compose("sweep", overrides), search.config)
    values = {**set_by_file, **trial.values, "seed": fresh, "study": f"{search.name}-reported"}
    overrides = [*overrides, *(f"{name}={to_override(value)}" for name, value in values.items())]
    return shlex.join(["python", "-m", "scoft_hpc.sweep", *overrides])


def _rounds(search: Search) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The rounds to run, by number and values: those on disk that have open trials, the last one, and new ones.

    Each is worked out when the one before is over.
    """
    done = len(trials.rounds(search.output, search.name))
    for number in range(1, done + 1):
        of_round = [trial for trial in search.trials() if trial.round == number]
        if number == done or any(trial.value is None for trial in of_round):
            yield number, [trial.values for trial in of_round]
    while values := _next(search, search.trials()):
        done += 1
        yield done, values


def _run_round(
    search: Search, planned: Plan, run_round: RunRound, report_trials: ReportTrials
) -> RoundOutcome:
    """Have the round run, unless it is done, and report the trials; one on disk must consist of the same runs."""
    study = StudyDir(search.output / planned.study)
    plan_store.require_same_plan(study, planned)
    if _is_done(study, planned):
        return RoundOutcome.over
    if not study.plan.exists():
        atomic.write_json(search.record, _settings(search))
    outcome = run_round(search.config, study, planned)
    if outcome is RoundOutcome.over:
        so_far = search.trials()
        sampler.write_journal(search.journal, search.name, search.space, so_far, lower=search.lower)
        report_trials(so_far)
    return outcome


def _next(search: Search, trials_so_far: Sequence[Trial]) -> list[dict[str, Any]]:
    """The next round's values; none if all trials are done, or the space has no more."""
    tune = search.config.tune
    count = min(tune.parallel, tune.trials - len(trials_so_far))
    return sampler.suggest(
        search.space, trials_so_far, count, lower=search.lower, sampler=tune.sampler, seed=tune.seed
    )


def _show(search: Search, run_round: RunRound) -> RoundOutcome:
    """The next round, or the one that is unfinished, planned only."""
    for number, values in _rounds(search):
        planned = plan_of(search, number, values)
        study = StudyDir(search.output / planned.study)
        if not _is_done(study, planned):
            return run_round(search.config, study, planned)
    return RoundOutcome.planned_only


def _is_done(study: StudyDir, planned: Plan) -> bool:
    return study.plan.exists() and all(study.run(run.run_id).result.exists() for run in planned.runs)


def _settings(search: Search) -> dict[str, Any]:
    """What makes a search the same one; how many trials, and how many at a time, may change."""
    tune = search.config.tune
    return {
        "version": VERSION,
        "space": {name: to_plain(part) for name, part in search.space.items()},
        "measure": search.measure,
        "sampler": tune.sampler.name,
        "seed": tune.seed,
    }


def _require_same(search: Search) -> None:
    """Raise LaunchError, naming what differs, if the rounds on disk were searched under other settings."""
    if not trials.rounds(search.output, search.name):
        return
    try:
        stored = json.loads(search.record.read_text())
    except (OSError, ValueError) as error:
        raise LaunchError(f"{search.record} cannot be read ({error}); choose another study=NAME.") from None
    settings_now = json.loads(json.dumps(_settings(search)))
    changes = [
        f"  tune.{name}: {stored.get(name)} there, {value} now"
        for name, value in settings_now.items()
        if stored.get(name) != value
    ]
    if changes:
        raise LaunchError(
            f"the search {search.name} in {search.output} was begun with other settings:\n"
            + "\n".join(changes)
            + "\nA search never changes. Give the new one a name: study=NAME."
        )


def _difference(before: SweepConfig, after: SweepConfig) -> dict[str, Any]:
    """The overrides that turn the run settings of `before` into those of `after`; a group by its option's name."""
    had, wanted = (dict(flat(science_fields(config))) for config in (before, after))
    names = [name for name in settings(RunConfig) if name in wanted and _is_reported(name)]
    return {name.removesuffix(".name"): wanted[name] for name in names if wanted[name] != had[name]}


def _is_reported(key: str) -> bool:
    """Whether the study that reports the outcome has the search's setting, or config group, as well."""
    return key != "sweep" and all(policy.reported for policy in lineage(SweepConfig, key))
