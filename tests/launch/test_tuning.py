"""A search's rounds: planned, sent once each, remembered on disk alone, whatever dies in between."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import pytest

from cultures import row, write
from scoft_hpc.config import compose
from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.errors import ConfigError, LaunchError, RunError
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.planning.plan import Plan, build_plan
from scoft_hpc.launch.search import run_search
from scoft_hpc.launch.search import search as tuning
from scoft_hpc.launch.search.search import RoundOutcome, Search
from scoft_hpc.launch.search.trials import Trial, rounds
from scoft_hpc.study import atomic, run_status
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import launch_lease, read


class CrashError(Exception):
    """The process dies here."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cultures")
    for number, culture in enumerate(("atlantis", "mu")):
        write(folder / culture, [row(folder / culture, 9 * number + i) for i in range(4)])
    return folder


@pytest.fixture
def begin(root: Path, tmp_path: Path) -> Callable[..., Search]:
    """The search of four trials, two a round, in two cultures and two seeds, under more words."""

    def begun(*more: str) -> Search:
        usual = ["tune.trials=4", "tune.parallel=2", "seed=[7,8]"]
        keys = {argument.partition("=")[0] for argument in more}
        arguments = ["sweep=tune", "data=folder", f"data.root={root}", f"output={tmp_path}", *more]
        arguments += [argument for argument in usual if argument.partition("=")[0] not in keys]
        return tuning.load_search(compose.compose("sweep", arguments), arguments)

    return begun


class Sender:
    """Ends a round's runs at once, as jobs would leave them; `log` has the runs of each sending."""

    def __init__(self, fail: str = "", before: bool = False, after: bool = False) -> None:
        self.fail, self.before, self.after = fail, before, after
        self.log: list[list[str]] = []

    def __call__(self, config: SweepConfig, study: StudyDir, plan: Plan) -> RoundOutcome:
        if self.before:
            raise CrashError
        plan_store.write(study, plan)
        remaining = [run for run in plan.runs if not study.run(run.run_id).result.exists()]
        self.log.append([run.run_id for run in remaining])
        for run in remaining:
            folder, worth = study.run(run.run_id), run.config.train.lr + run.config.seed
            if self.fail and run.run_id.startswith(self.fail):
                run_status.write_failure(folder, "nan", "the loss is not finite", 3)
                continue
            atomic.write_json(folder.scores, {"metrics": {"kid": {"value": worth, "n": 4}}})
            atomic.write_json(folder.result, {"run_id": run.run_id})
        if self.after:
            raise CrashError
        return RoundOutcome.over


def run(search: Search, sender: tuning.RunRound) -> tuple[RoundOutcome, list[Trial]]:
    return tuning.run(search, sender, lambda outcome: None), search.trials()


def test_it_goes_round_by_round_to_the_last_trial(begin: Callable[..., Search], tmp_path: Path) -> None:
    search, sender, reported = begin(), Sender(), list[Sequence[Trial]]()
    assert tuning.run(search, sender, reported.append) is RoundOutcome.over
    trials = search.trials()
    assert [len(each) for each in reported] == [2, 4] and reported[-1] == trials
    assert [study.name for study in rounds(tmp_path, "tune")] == ["tune-r01", "tune-r02"]
    assert [len(runs) for runs in sender.log] == [8, 8], "a trial is each culture with each seed"
    for trial in trials:
        entries = {e.run_id: e for e in read(rounds(tmp_path, "tune")[trial.round - 1]).runs}
        own = [entries[run] for run in trial.runs]
        assert {(e.culture, e.seed) for e in own} == {(c, s) for c in ("atlantis", "mu") for s in (7, 8)}
        assert all(e.config["train"]["lr"] == trial.values["train.lr"] for e in own)
        assert trial.value == pytest.approx(fmean(trial.values["train.lr"] + seed for seed in (7, 8)))
    best = tuning.best(search, trials)
    assert best is not None and best.value == min(trial.value or 9 for trial in trials)
    assert search.journal.exists()


def test_the_same_command_again_sends_nothing_and_more_trials_go_on(begin: Callable[..., Search]) -> None:
    _, before = run(begin(), Sender())
    again = Sender()
    assert run(begin(), again) == (RoundOutcome.over, before) and again.log == []
    _, after = run(begin("tune.trials=5"), again)
    assert after[:4] == before and len(after) == 5 and len(again.log) == 1


@pytest.mark.slow
def test_a_crash_anywhere_neither_loses_nor_doubles_a_trial(
    begin: Callable[..., Search], tmp_path: Path
) -> None:
    _, undisturbed = run(begin("study=calm"), Sender())
    sent: list[str] = []
    for _ in range(2):
        with pytest.raises(CrashError):
            run(begin(), Sender(before=True))  # between asking and sending
        ended = Sender(after=True)  # between the jobs' end and telling
        with pytest.raises(CrashError):
            run(begin(), ended)
        sent += [name for runs in ended.log for name in runs]
    last = Sender()
    outcome, trials = run(begin(), last)
    assert outcome is RoundOutcome.over and last.log == []
    assert len(sent) == len(set(sent)) == 16
    assert [trial.values for trial in trials] == [trial.values for trial in undisturbed]
    assert [trial.value for trial in trials] == [trial.value for trial in undisturbed]


def test_a_round_on_its_way_is_waited_for(begin: Callable[..., Search], tmp_path: Path) -> None:
    def away(config: SweepConfig, study: StudyDir, plan: Plan) -> RoundOutcome:
        plan_store.write(study, plan)
        return RoundOutcome.submitted

    outcome, first = run(begin(), away)
    assert outcome is RoundOutcome.submitted and len(first) == 2
    assert run(begin(), away) == (RoundOutcome.submitted, first), (
        "one round a call, and no second one meanwhile"
    )
    outcome, trials = run(begin(), Sender())
    assert outcome is RoundOutcome.over
    assert [trial.values for trial in trials[:2]] == [trial.values for trial in first]


def test_a_failed_run_fails_its_trial_with_the_reason_and_is_sent_again(begin: Callable[..., Search]) -> None:
    search = begin()
    first = tuning.plan_of(search, 1, tuning._next(search, []))
    broken = first.runs[0].run_id
    _, trials = run(search, Sender(fail=broken))
    failed = [trial for trial in trials if trial.value is None]
    assert [trial.reason for trial in failed] == [f"{broken}: the loss is not finite"]
    assert len(trials) == 4 and any(broken in trial.runs for trial in failed)
    text = "\n".join(run_search.ending_lines(search, trials))
    assert f"trial {failed[0].number} failed: {broken}: the loss is not finite" in text
    again = Sender()
    _, repeated = run(begin(), again)
    assert again.log == [[broken]]
    assert [trial.values for trial in repeated] == [trial.values for trial in trials]
    assert all(trial.value is not None for trial in repeated)


def test_a_round_without_any_value_ends_the_search(begin: Callable[..., Search]) -> None:
    outcome, trials = run(begin(), Sender(fail="mu"))
    assert outcome is RoundOutcome.over and len(trials) == 2
    text = "\n".join(run_search.ending_lines(begin(), trials))
    assert "no trial has a value" in text and "the loss is not finite" in text


def test_a_metric_that_a_run_does_not_have_is_a_reason(root: Path, tmp_path: Path) -> None:
    arguments = [
        "sweep=tune",
        "data=folder",
        f"data.root={root}",
        f"output={tmp_path}",
        "tune.measure=clip_score",
    ]
    search = tuning.load_search(compose.compose("sweep", arguments), arguments)
    _, (trial, *_) = run(search, Sender())
    assert trial.reason is not None and "its scores.json has no clip_score" in trial.reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("tune.seed=3", "tune.seed: 0 there, 3 now"),
        ("tune.sampler=random", "tune.sampler: tpe there, random now"),
        ("tune.space={lora.rank: [4, 8]}", "tune.space: "),
        ("train.steps=9", "train.steps: "),
    ],
)
def test_a_search_never_changes(begin: Callable[..., Search], argument: str, message: str) -> None:
    run(begin(), Sender())
    with pytest.raises(LaunchError) as caught:
        run(begin(argument), Sender())
    assert message in str(caught.value) and "study=NAME" in str(caught.value)


def test_what_never_began_may_change(begin: Callable[..., Search]) -> None:
    with pytest.raises(CrashError):
        run(begin(), Sender(before=True))
    assert run(begin("tune.seed=3", "tune.trials=2"), Sender())[0] is RoundOutcome.over


def test_what_is_no_search_is_refused(begin: Callable[..., Search], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ablation=lora_rank beside tune\.space"):
        begin("ablation=lora_rank")
    atomic.write_json(tmp_path / "taken" / "plan.json", {})
    with pytest.raises(LaunchError, match="is a study; give the search another name"):
        begin("study=taken")


def test_a_search_has_one_owner(begin: Callable[..., Search]) -> None:
    search = begin()
    hold = Lease.acquire(launch_lease(search.folder))
    with pytest.raises(RunError, match="is being worked on by"):
        run(search, Sender())
    hold.release()
    assert not list(search.output.glob("tune-r*"))


def test_a_plan_is_shown_and_nothing_is_written(begin: Callable[..., Search], tmp_path: Path) -> None:
    plans: list[Plan] = []

    def show(config: SweepConfig, study: StudyDir, plan: Plan) -> RoundOutcome:
        plans.append(plan)
        return RoundOutcome.planned_only

    assert run(begin("plan=only"), show) == (RoundOutcome.planned_only, [])
    assert list(tmp_path.iterdir()) == []
    _, trials = run(begin("tune.trials=2"), Sender())
    assert {run.run_id for run in plans[0].runs} == {name for trial in trials for name in trial.runs}


def test_the_reporting_study_has_the_best_values_and_seeds_of_its_own(begin: Callable[..., Search]) -> None:
    search = begin("seed=[1,3]", "variant=mpc", "train.steps=5")
    _, trials = run(search, Sender())
    best = tuning.best(search, trials)
    assert best is not None
    python, flag, module, *arguments = shlex.split(tuning.report_command(search, best))
    assert (python, flag, module) == ("python", "-m", "scoft_hpc.sweep")
    config = compose.compose("sweep", arguments)
    planned = build_plan(config, arguments)
    assert planned.study == "tune-reported" and planned.ablation == "loss_terms"
    assert {run.config.seed for run in planned.runs} == {0, 2, 4}
    trained = [run.config for run in planned.runs if run.config.variant.name == "mpc"]
    assert {one.train.lr for one in trained} == {best.values["train.lr"]}
    assert {one.objective.w_c for one in trained} == {best.values["objective.w_c"]}
    assert {one.train.steps for one in trained} == {5}


def test_settings_that_a_search_of_ones_own_brings_along_are_told_too(root: Path, tmp_path: Path) -> None:
    arguments = ["data=folder", f"data.root={root}", f"output={tmp_path}"]
    by_file = compose.compose(
        "sweep", ["sweep=tune", *arguments, "objective=triplet", "model=sd15", "lora.rank=8"]
    )
    assert tuning._difference(compose.compose("sweep", arguments), by_file)["model"] == "sd15"
    differences = tuning._difference(compose.compose("sweep", [*arguments, "model=sd15"]), by_file)
    assert differences == {"objective.form": "triplet", "lora.rank": 8}
