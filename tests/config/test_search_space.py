"""What a search may try, and how everything else is refused."""

from __future__ import annotations

from typing import Any

import pytest

from scoft_hpc.config import compose
from scoft_hpc.config.search_space import ChoiceSet, Range, read
from scoft_hpc.errors import ConfigError


def faults(given: dict[str, Any], *arguments: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(given, arguments)
    return [line.removeprefix("- ") for line in str(caught.value).splitlines()]


def test_ranges_and_lists() -> None:
    given = {
        "train.lr": {"low": 1e-5, "high": 1, "log": True},
        "lora.rank": {"low": 2, "high": 8},
        "lora.alpha": {"low": 1, "high": 8.5},
        "data.pairs": [4, None],
        "objective.form": ["official", "triplet"],
        "objective.w_c": None,
    }
    assert read(given, ["seed=3"]) == {
        "train.lr": Range(1e-5, 1, log=True, integer=False),
        "lora.rank": Range(2, 8, log=False, integer=True),
        "lora.alpha": Range(1, 8.5, log=False, integer=False),
        "data.pairs": ChoiceSet((4, None)),
        "objective.form": ChoiceSet(("official", "triplet")),
    }


@pytest.mark.parametrize(
    ("name", "entry", "message"),
    [
        ("train.lrr", [1, 2], "is not a setting; did you mean train.lr?"),
        ("train", [1, 2], "is a group of settings; name those to search in full: train.steps,"),
        ("device", ["cpu", "cuda"], "is not searched: it says where and how a run is made"),
        ("objective.distance_path", ["a", "b"], "is not searched: it says where"),
        ("cluster.jobs", [1, 2], "is not a setting"),
        ("seed", [1, 2], "is not searched: a trial is all cultures and seeds"),
        ("variant", ["m", "mp"], "is not searched: which terms help is an ablation's question"),
        ("evaluation.steps", [1, 2], "is not searched: it decides how a trial is scored"),
        ("model.digest", ["a", "b"], "is not searched: the plan fills it in"),
        ("train.lr", 3, "expected {low: …, high: …, log: true}, or a list of values."),
        ("train.lr", {"low": 2, "high": 1}, "low=2 is not below high=1."),
        ("train.lr", {"low": 1, "high": 1}, "low=1 is not below high=1."),
        ("train.lr", {"low": 1}, "high=None; expected numbers, as {low"),
        ("train.lr", {"low": "a", "high": True}, "low=a, high=True; expected numbers"),
        ("train.lr", {"low": 1, "high": 2, "step": 1}, "there is no step; expected {low"),
        ("train.lr", {"low": 1, "high": 2, "log": 1}, "log=1; expected true or false."),
        ("train.lr", {"low": -1, "high": 2}, "low=-1; expected more than 0."),
        ("objective.w_c", {"low": 0, "high": 2, "log": True}, "log=true needs a low above 0, not 0."),
        ("lora.rank", {"low": 1.5, "high": 3}, "low=1.5; expected whole numbers"),
        ("objective.gradient", {"low": 1, "high": 2}, "is no number"),
        ("data.random_flip", {"low": 0, "high": 1}, "is no number"),
        ("objective.form", ["official", "triple"], "triple is not one of its values: official, triplet."),
        ("objective.distance", ["toy", "lpips"], "lpips; expected one of toy, dreamsim"),
        ("lora.rank", [4, "many"], "many is not one of its values."),
        ("lora.rank", [4, 4], "expected two values or more"),
        ("lora.rank", [], "expected two values or more"),
    ],
)
def test_what_cannot_be_searched_is_told(name: str, entry: Any, message: str) -> None:
    (fault,) = faults({name: entry})
    assert fault.startswith(f"tune.space: {name}") and message in fault


def test_all_faults_at_once_and_what_a_word_has_fixed() -> None:
    given = {"train.lrr": [1, 2], "lora.rank": {"low": 2, "high": 1}, "train.lr": {"low": 1, "high": 2}}
    messages = faults(given, "train.lr=3", "lora.alpha=2")
    assert len(messages) == 3
    assert messages[-1].startswith("`train.lr=3`: tune.space searches train.lr; leave out one")


def test_words_add_to_the_space_that_ships_and_take_away_from_it() -> None:
    arguments = ["sweep=tune", "tune.space={lora.rank: [4, 8], objective.w_c: null}"]
    assert list(read(compose.compose("sweep", arguments).tune.space, arguments)) == ["train.lr", "lora.rank"]


@pytest.mark.parametrize("argument", ["tune.trials=0", "tune.sampler=grid", "tune.space=3"])
def test_numbers_of_the_search_are_checked(argument: str) -> None:
    from scoft_hpc.config import validation

    with pytest.raises(ConfigError, match=argument.partition("=")[0]):
        raise ConfigError.from_messages(validation.validate_launch(compose.compose("sweep", [argument])))
