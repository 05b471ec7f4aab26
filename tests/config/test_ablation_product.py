"""Several ablations as one: axes united, conditions together, and what cannot be multiplied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scoft_hpc.config import ablation_product, compose
from scoft_hpc.config.ablation_product import product
from scoft_hpc.config.command_configs import Ablation
from scoft_hpc.errors import ConfigError

A = {
    "axes": {"variant": ["base", "mpc"], "lora.rank": [4, 8]},
    "exclude": [{"variant": "base", "lora.rank": 4}],
}
B = {
    "axes": {"variant": ["base", "mp", "mpc"], "w": [1, 2], "v": [1, 2]},
    "zip": [["w", "v"]],
    "when": {"w": {"variant": "mpc"}},
    "exclude": [{"variant": "base", "lora.rank": 4}, {"w": 1}],
}


def composed(*arguments: str) -> Ablation:
    ablation: Ablation = compose.compose("sweep", arguments).ablation
    return ablation


def test_a_product_has_all_axes_and_all_conditions() -> None:
    assert product({"a": A, "b": B}) == {
        "name": "a+b",
        "axes": {"variant": ["base", "mpc", "mp"], "lora.rank": [4, 8], "w": [1, 2], "v": [1, 2]},
        "zip": [["w", "v"]],
        "when": {"w": {"variant": "mpc"}},
        "exclude": [{"variant": "base", "lora.rank": 4}, {"w": 1}],
    }


@pytest.mark.parametrize("other", [{"axes": {"w": [1]}}, {"axes": {"w": [1]}, "when": {"w": {"x": 1}}}])
def test_an_axis_that_varies_under_two_conditions_is_refused(other: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"ablation=\[b,c\]: w varies .* in c and where .* They cannot"):
        product({"b": B, "c": other})


def test_a_list_of_ablations_is_their_product_and_words_narrow_it() -> None:
    ablation = composed("ablation=[loss_terms,data_size,lora_rank]", "ablation.axes={lora.rank: [4]}")
    assert ablation.name == "loss_terms+data_size+lora_rank"
    assert ablation.axes["variant"] == ["base", "ldm", "m", "mp", "mpc"]
    assert ablation.axes["lora.rank"] == [4] and ablation.axes["data.pairs"] == [4, 8, 16, None]
    assert ablation.exclude == composed("ablation=data_size").exclude


def test_a_list_of_one_is_that_one_and_named_twice_is_once() -> None:
    assert composed("ablation=[lora_rank]") == composed("ablation=lora_rank")
    assert composed("ablation=[lora_rank, lora_rank]") == composed("ablation=lora_rank")


def test_a_named_study_narrows_a_product_too() -> None:
    assert composed("sweep=smoke", "ablation=[negatives,lora_rank]").axes["variant"] == ["base", "mpc"]


@pytest.mark.parametrize(
    "argument", ["ablation=[]", "ablation=[lora_rank,lora_rnk]", "ablation=[lora_rank,3]"]
)
def test_what_is_no_ablation_is_told_with_the_options(argument: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composed(argument)
    assert f"`{argument}`: ablation is one of baselines, contrastive_cadence" in str(caught.value)


def test_several_without_brackets_are_told_how() -> None:
    with pytest.raises(ConfigError, match=r"'ablation=\[negatives,lora_rank\]'"):
        composed("ablation=negatives,lora_rank")


def test_a_named_study_may_multiply_and_a_word_wins_over_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "ablation").mkdir(exist_ok=True)
        (tmp_path / "ablation" / f"{name}.yaml").write_text(f"axes: {{lora.rank: [{len(name)}]}}")
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "both.yaml").write_text("defaults:\n  - override /ablation: [a, b]\nstudy: x\n")
    assert ablation_product.merge_ablation_lists(["sweep=both"], tmp_path) == ["sweep=both", "ablation=a+b"]
    assert ablation_product.merge_ablation_lists(["sweep=both", "ablation=a"], tmp_path) == [
        "sweep=both",
        "ablation=a",
    ]
    assert ablation_product.merge_ablation_lists(["sweep=other", "seed=1"], tmp_path) == [
        "sweep=other",
        "seed=1",
    ]
    with pytest.raises(ConfigError, match="there is no c; there are a, b"):
        ablation_product.merge_ablation_lists(["ablation=[a,c]"], tmp_path)
