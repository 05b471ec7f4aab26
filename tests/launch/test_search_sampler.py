"""What Optuna is told and asked: repeatable, within the space, and better than chance where there is a slope."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest

from scoft_hpc.config.command_configs import Sampler
from scoft_hpc.config.search_space import ChoiceSet, Range, Space
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.search import sampler as proposals
from scoft_hpc.launch.search.sampler import suggest
from scoft_hpc.launch.search.trials import Trial

SPACE: Space = {
    "train.lr": Range(1e-5, 1e-1, log=True, integer=False),
    "lora.rank": Range(2, 64, log=False, integer=True),
    "lora.targets": ChoiceSet((["to_q"], ["to_k", "to_v"])),
}


def trial(number: int, values: dict[str, Any], value: float | None) -> Trial:
    reason = None if value is not None else "korea-mpc-s0-00000000: the loss is not finite"
    return Trial(number, 1, values, ("korea-mpc-s0-00000000",), value, reason)


def suggestions(space: Space, trials: list[Trial], count: int = 4, **changes: Any) -> list[dict[str, Any]]:
    return suggest(space, trials, count, **{"lower": True, "sampler": Sampler.tpe, "seed": 0, **changes})


def searched(space: Space, worth: Any, rounds: int, **changes: Any) -> list[Trial]:
    trials: list[Trial] = []
    for _ in range(rounds):
        for values in suggestions(space, trials, **changes):
            trials.append(trial(len(trials) + 1, values, worth(values)))
    return trials


@pytest.mark.parametrize("sampler", Sampler)
def test_the_same_trials_give_the_same_proposals_and_others_give_others(sampler: Sampler) -> None:
    first = suggestions(SPACE, [], sampler=sampler)
    assert first == suggestions(SPACE, [], sampler=sampler) != suggestions(SPACE, [], sampler=sampler, seed=1)
    done = [trial(n, values, float(n)) for n, values in enumerate(first, start=1)]
    second = suggestions(SPACE, done, sampler=sampler)
    assert second == suggestions(SPACE, done, sampler=sampler)
    assert not any(values in first for values in second), "a round draws numbers of its own"


def test_every_value_is_of_the_space_and_of_few_digits() -> None:
    for values in suggestions(SPACE, [], 40):
        assert 1e-5 <= values["train.lr"] <= 1e-1 and len(f"{values['train.lr']:g}".replace(".", "")) <= 7
        assert isinstance(values["lora.rank"], int) and 2 <= values["lora.rank"] <= 64
        assert values["lora.targets"] in (["to_q"], ["to_k", "to_v"])


@pytest.mark.parametrize("lower", [True, False])
def test_it_learns_where_the_good_values_are(lower: bool) -> None:
    space: Space = {"train.lr": Range(1e-5, 1e-1, log=True, integer=False)}

    def miss(values: dict[str, Any]) -> float:
        """How many orders of magnitude from 1e-3."""
        return abs(math.log10(values["train.lr"]) + 3)

    best_values = searched(space, lambda v: miss(v) if lower else -miss(v), 10, lower=lower)
    late = [miss(one.values) for one in best_values[20:]]
    assert len(best_values) == 40
    assert sum(late) / len(late) < 0.5, "by chance the mean miss is 1"


def test_a_small_space_is_tried_once_each_and_then_it_is_over() -> None:
    space: Space = {"objective.form": ChoiceSet(("official", "triplet")), "lora.rank": ChoiceSet((4, 8, 16))}
    suggested = searched(space, lambda values: float(values["lora.rank"]), 4)
    tried = [tuple(one.values.values()) for one in suggested]
    assert len(tried) == len(set(tried)) == 6


def test_failed_trials_are_told_as_failed_and_not_proposed_again() -> None:
    space: Space = {"lora.rank": ChoiceSet((4, 8))}
    failed = trial(1, {"lora.rank": 4}, None)
    assert suggestions(space, [failed]) == [{"lora.rank": 8}]


def test_a_value_that_a_config_turned_into_a_float_is_known() -> None:
    space: Space = {"objective.w_c": ChoiceSet((0, 1))}
    assert suggestions(space, [trial(1, {"objective.w_c": 0.0}, 0.5)]) == [{"objective.w_c": 1}]


def test_the_journal_is_optunas_own(tmp_path: Path) -> None:
    values = suggestions(SPACE, [], 3)
    trials = [trial(n, one, None if n == 2 else n / 4) for n, one in enumerate(values, start=1)]
    for _ in range(2):
        proposals.write_journal(tmp_path / "optuna.journal", "tune", SPACE, trials, lower=False)
    assert [path.name for path in tmp_path.iterdir()] == ["optuna.journal"]
    backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "optuna.journal"))
    stored = optuna.load_study(study_name="tune", storage=optuna.storages.JournalStorage(backend))
    assert [one.state.name for one in stored.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert stored.best_value == 0.75 and stored.best_params["train.lr"] == values[2]["train.lr"]
    assert "not finite" in stored.trials[1].user_attrs["reason"]
    assert stored.trials[0].user_attrs["runs"] == ["korea-mpc-s0-00000000"]


def test_without_optuna_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proposals, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'scoft-hpc\[tune\]'"):
        proposals.require()


def test_a_sweep_without_a_search_loads_no_optuna() -> None:
    program = "import sys, scoft_hpc.sweep; raise SystemExit('optuna' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
