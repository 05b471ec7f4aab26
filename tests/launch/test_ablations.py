"""The ablations and named studies that ship: planned in the toy world, each run counted."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from scoft_hpc.config import compose
from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.config.nodes import settings
from scoft_hpc.errors import ConfigError, DataError
from scoft_hpc.inputs.cache_key import folder_of
from scoft_hpc.launch.planning.packing import make_packs
from scoft_hpc.launch.planning.plan import Plan, Run, build_plan

TOY_DISTANCE = "ablation.axes={objective.distance: [toy]}"
RUNS = {
    "baselines": {"base": 2, "ldm": 1},
    "contrastive_cadence": {"base": 1, "mpc": 4},
    "data_size": {"base": 1, "mpc": 4},
    "feature_distance": {"base": 1, "mpc": 1},
    "gradient_step": {"base": 1, "mpc": 3},
    "lora_rank": {"base": 1, "mpc": 4},
    "loss_terms": {"base": 1, "ldm": 1, "m": 1, "mp": 1, "mpc": 1},
    "memorization_weight": {"base": 1, "mpc": 4},
    "negatives": {"base": 1, "mp": 1, "mpc": 6},
    "objective_form": {"base": 1, "mpc": 4},
    "rollout_steps": {"base": 1, "mpc": 4},
}
"""Runs of one culture and seed by variant."""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the toy world is rendered, once for all tests."""
    return tmp_path_factory.mktemp("outputs")


@functools.cache
def planned(output: Path, *arguments: str) -> Plan:
    arguments = (*arguments, f"output={output}")
    return build_plan(compose.compose("sweep", arguments), arguments)


def of(plan: Plan, variant: str) -> list[Run]:
    return [run for run in plan.runs if run.config.variant.name == variant]


def test_every_ablation_that_ships_is_counted_here() -> None:
    assert compose.options("ablation") == sorted(RUNS)


@pytest.mark.parametrize("name", RUNS)
def test_an_ablation_says_what_it_asks_and_what_it_costs(name: str) -> None:
    text = (compose.config_folder() / "ablation" / f"{name}.yaml").read_text()
    content = yaml.safe_load(text)
    comment = [line for line in text.splitlines() if line.startswith("#")]
    assert content["name"] == name
    assert comment and comment[0] == text.splitlines()[0]
    if name != "loss_terms":
        assert comment[0].endswith("?") and any("Cost: " in line for line in comment)
    assert set(content["axes"]) <= {*settings(SweepConfig), *compose.groups("sweep")}


@pytest.mark.slow
@pytest.mark.parametrize(("name", "runs"), RUNS.items())
def test_an_ablation_is_planned_in_the_toy_world(output: Path, name: str, runs: dict[str, int]) -> None:
    arguments = [TOY_DISTANCE] if name == "feature_distance" else []
    plan = planned(output, f"ablation={name}", "culture=korea", *arguments)
    assert Counter(run.config.variant.name for run in plan.runs) == runs
    assert plan.study == f"{name}-korea-toy"


def test_naming_the_culture_adds_nothing_where_the_prompts_do(output: Path) -> None:
    plan = planned(output, "ablation=baselines", "culture=korea")
    assert [run.run_id.rsplit("-", 1)[0] for run in plan.runs] == [
        "korea-base-s0",
        "korea-base-rewritten-s0",
        "korea-ldm-s0",
    ]
    assert [run.config.evaluation.prompting.name for run in plan.runs] == ["asked", "rewritten", "asked"]


@pytest.mark.slow
def test_images_of_another_generator_are_a_row_and_one_seeds(output: Path, tmp_path: Path) -> None:
    for p, s in itertools.product(range(8), range(3)):
        (tmp_path / "sdxl" / "korea").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (32, 32), (p, s, 0)).save(tmp_path / "sdxl" / "korea" / f"p{p:02d}-s{s:02d}.png")
    axes = f"ablation.axes={{evaluation.images: [null, {tmp_path / 'sdxl'}]}}"
    plan = planned(output, "ablation=baselines", "culture=korea", "seed=[0,1]", axes)
    assert [run.run_id.rsplit("-", 1)[0] for run in plan.runs] == [
        *(f"korea-{what}-s{seed}" for what in ("base", "base-rewritten") for seed in (0, 1)),
        "korea-images-s0",
        *("korea-ldm-s0", "korea-ldm-s1"),
    ]
    assert len(make_packs(plan.runs, jobs=1, lanes=None)) == 1, "one base draws and scores them all"
    with pytest.raises(DataError, match="sdxl has no folder mexico"):
        planned(output, "ablation=baselines", "culture=[korea,mexico]", axes)


def test_rewritings_that_are_missing_are_told_for_all_cultures(output: Path, tmp_path: Path) -> None:
    path = tmp_path / "it.jsonl"
    path.write_text('{"prompt": "a house in korea", "rewritten": "a hanok"}')
    with pytest.raises(DataError) as caught:
        planned(output, "ablation=baselines", "culture=[korea,mexico]", f"evaluation.rewrites={path}")
    assert "korea: 7 of 8" in str(caught.value) and "mexico: 8 of 8" in str(caught.value)


def test_feature_distances_whose_weights_are_missing_are_told_at_once(output: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(output, "ablation=feature_distance", "culture=korea")
    for network in ("dreamsim", "dinov2", "clip-vit", "blip2", "vgg16"):
        assert network in str(caught.value)


def test_shares_of_the_two_losses_go_together(output: Path) -> None:
    plan = planned(output, "ablation=memorization_weight", "culture=korea")
    shares = [(run.config.objective.w_ldm, run.config.objective.w_m) for run in of(plan, "mpc")]
    assert shares == [(1.0, 0.0), (0.9, 0.1), (0.7, 0.3), (0.5, 0.5)]


def test_the_margin_varies_only_under_the_triplet(output: Path) -> None:
    plan = planned(output, "ablation=objective_form", "culture=korea")
    default = compose.compose("train", []).objective.triplet_margin
    margins = [(r.config.objective.form.name, r.config.objective.triplet_margin) for r in of(plan, "mpc")]
    assert margins == [("official", default), *(("triplet", margin) for margin in (0.0, 0.1, 0.5))]


def test_the_base_is_scored_once_beside_all_sizes_of_the_data(output: Path) -> None:
    plan = planned(output, "ablation=data_size", "culture=korea")
    assert [run.config.data.pairs for run in of(plan, "base")] == [None]
    assert [run.config.data.pairs for run in of(plan, "mpc")] == [4, 8, 16, None]


@pytest.mark.slow
def test_a_product_of_two_ablations(output: Path) -> None:
    plan = planned(output, "ablation=[objective_form,lora_rank]", "culture=korea")
    assert Counter(run.config.variant.name for run in plan.runs) == {"base": 1, "mpc": 4 * 4}
    assert plan.study == "objective_form-lora_rank-korea-toy"
    by_words = ["ablation=objective_form", "ablation.axes={lora.rank: [4, 8, 16, 64]}", "culture=korea"]
    assert {run.run_id for run in plan.runs} == {run.run_id for run in planned(output, *by_words).runs}


def test_a_run_that_several_combinations_come_to_is_one_row(output: Path) -> None:
    """L_C's rollout is nothing to ldm and m: each is one run beside those of every length."""
    plan = planned(output, "ablation=[loss_terms,rollout_steps]", "culture=korea", "seed=[0,1]")
    assert Counter(run.config.variant.name for run in plan.runs) == {
        "base": 2, "ldm": 2, "m": 2, "mp": 8, "mpc": 8,
    }  # fmt: skip


def test_the_row_without_negatives_has_the_cache_of_one_with_them(output: Path) -> None:
    """So that no negatives are drawn for it alone."""
    arguments = ("ablation.axes={data.negatives.source: [txt2img]}", "culture=korea")
    plan = planned(output, "ablation=negatives", *arguments)
    folders = {run.config.variant.name: folder_of(run.config, "") for run in reversed(plan.runs)}
    assert folders["mp"] == folders["mpc"]


def test_one_run_shared_by_two_ablations_has_one_id(output: Path) -> None:
    """The official method at its default settings is a row of either table."""
    names = ("gradient_step", "rollout_steps")
    ids = [{r.run_id for r in planned(output, f"ablation={name}", "culture=korea").runs} for name in names]
    assert len(set.intersection(*ids)) == 2, "base and mpc"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lora.rank=4"], "'ablation.axes={lora.rank: [4]}'"),
        (["ablation.exclude=[{variant: ldm}]"], "ablation.exclude[0]: variant is never ldm"),
        (["ablation.when={lora.rank: {variant: mp}}"], "ablation.when.lora.rank: variant is never mp"),
        (["ablation.zip=[[variant,lora.rank]]"], "ablation.zip: axes that go together"),
        (["ablation.zip=lora.rank"], "expected a list"),
    ],
)
def test_a_wrong_condition_on_the_command_line(output: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        planned(output, "ablation=lora_rank", "culture=korea", *arguments)
    assert message in str(caught.value)


def test_the_way_that_the_message_names_works(output: Path) -> None:
    plan = planned(output, "ablation=lora_rank", "culture=korea", "ablation.axes={lora.rank: [4]}")
    assert [run.config.lora.rank for run in of(plan, "mpc")] == [4]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("paper", {"runs": 75, "cultures": 5, "variants": 5, "seeds": 3}),
        ("smoke", {"runs": 10, "cultures": 5, "variants": 2, "seeds": 1}),
    ],
)
def test_a_named_study_is_planned(output: Path, name: str, expected: dict[str, Any]) -> None:
    plan = planned(output, f"sweep={name}")
    configs = [run.config for run in plan.runs]
    assert plan.study == name
    assert expected == {
        "runs": len(configs),
        "cultures": len({config.culture for config in configs}),
        "variants": len({config.variant for config in configs}),
        "seeds": len({config.seed for config in configs}),
    }


def test_words_win_over_a_named_study(output: Path) -> None:
    plan = planned(output, "sweep=paper", "ablation=lora_rank", "seed=4", "culture=korea", "study=mine")
    assert (plan.study, plan.ablation, len(plan.runs)) == ("mine", "lora_rank", 5)
    assert {run.config.seed for run in plan.runs} == {4}


@pytest.mark.slow
def test_a_named_study_with_another_ablation_narrows_it(output: Path) -> None:
    plan = planned(output, "sweep=smoke", "ablation=negatives", "culture=korea")
    assert Counter(run.config.variant.name for run in plan.runs) == {"base": 1, "mpc": 6}


def test_every_named_study_can_be_chosen() -> None:
    names = sorted(path.stem for path in (compose.config_folder().parent / "sweeps").glob("*.yaml"))
    assert compose.groups("sweep")["sweep"] == names
    with pytest.raises(ConfigError, match="sweep is one of paper, smoke, tune; did you mean paper"):
        compose.compose("sweep", ["sweep=papr"])
