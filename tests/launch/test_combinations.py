"""An ablation's combinations: products, axes that go together, conditions, and the messages for wrong ones."""

from __future__ import annotations

import pytest

from scoft_hpc.config.command_configs import Ablation
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.planning.ablation_grid import Combination, expand_grid

FORM, MARGIN = "objective.form", "objective.triplet_margin"


def _faults(ablation: Ablation, *, narrowed: bool = False) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        expand_grid(ablation, narrowed=narrowed)
    return [line.removeprefix("- ") for line in str(caught.value).splitlines()]


def test_the_product_in_the_order_of_the_axes() -> None:
    points = expand_grid(Ablation(axes={"variant": ["m", "mp"], "lora.rank": [4, 8]}))
    assert points == [{"variant": v, "lora.rank": r} for v in ("m", "mp") for r in (4, 8)]


def test_no_axes_are_one_run_and_equal_values_one_combination() -> None:
    assert expand_grid(Ablation()) == [{}]
    assert expand_grid(Ablation(axes={"train.lr": [1e-3, 0.001]})) == [{"train.lr": 0.001}]


def test_zipped_axes_go_together_and_multiply_with_the_others() -> None:
    axes = {"w": [1, 2], "variant": ["m", "mp"], "v": [10, 20]}
    points = expand_grid(Ablation(axes=axes, zip=[["w", "v"]]))
    assert points == [{"w": w, "v": 10 * w, "variant": x} for w in (1, 2) for x in ("m", "mp")]


@pytest.mark.parametrize("condition", [{FORM: "triplet"}, {FORM: ["triplet"]}])
def test_an_axis_varies_only_where_its_condition_holds(condition: Combination) -> None:
    axes = {FORM: ["official", "triplet"], MARGIN: [0.1, 0.2]}
    assert expand_grid(Ablation(axes=axes, when={MARGIN: condition})) == [
        {FORM: "official"},
        {FORM: "triplet", MARGIN: 0.1},
        {FORM: "triplet", MARGIN: 0.2},
    ]


def test_a_condition_on_an_axis_that_does_not_vary_does_not_hold() -> None:
    """The margin waits for the form, which waits for the variant."""
    axes = {MARGIN: [0.1, 0.2], FORM: ["official", "triplet"], "variant": ["m", "mpc"]}
    when = {MARGIN: {FORM: "triplet"}, FORM: {"variant": "mpc"}}
    points = expand_grid(Ablation(axes=axes, when=when))
    assert [one for one in points if one["variant"] == "m"] == [{"variant": "m"}]
    assert len(points) == 1 + 1 + 2


def test_excluded_combinations_are_left_out() -> None:
    axes = {"variant": ["base", "m", "mpc"], "lora.rank": [4, 8, 16]}
    points = expand_grid(
        Ablation(axes=axes, exclude=[{"variant": "base", "lora.rank": [4, 8]}, {"variant": "m"}])
    )
    assert points == [
        {"variant": "base", "lora.rank": 16},
        *({"variant": "mpc", "lora.rank": rank} for rank in (4, 8, 16)),
    ]


def test_an_axis_that_does_not_vary_is_not_what_an_exclusion_names() -> None:
    axes = {FORM: ["official", "triplet"], MARGIN: [0.1, 0.2]}
    ablation = Ablation(axes=axes, when={MARGIN: {FORM: "triplet"}}, exclude=[{MARGIN: 0.1}])
    assert expand_grid(ablation) == [{FORM: "official"}, {FORM: "triplet", MARGIN: 0.2}]


AXES = {"variant": ["base", "mpc"], "lora.rank": [4, 8, 16]}


@pytest.mark.parametrize(
    ("ablation", "message"),
    [
        (
            Ablation(axes=AXES, zip=[["variant", "lora.rank"]]),
            "ablation.zip: axes that go together need as many values each; variant has 2, lora.rank has 3.",
        ),
        (Ablation(axes=AXES, zip=[["variant"]]), "ablation.zip: [variant]; expected two axes or more"),
        (
            Ablation(axes=AXES, zip=[["variant", "rank"]]),
            "ablation.zip: rank is not an axis of this ablation; the axes are variant, lora.rank.",
        ),
        (
            Ablation(axes={"a": [1], "b": [2], "c": [3]}, zip=[["a", "b"], ["b", "c"]]),
            "ablation.zip: b is named twice",
        ),
        (
            Ablation(axes=AXES, when={"rank": {"variant": "mpc"}}),
            "ablation.when.rank: rank is not an axis of this ablation; the axes are variant, lora.rank.",
        ),
        (
            Ablation(axes=AXES, when={"lora.rank": {"variants": "mpc"}}),
            "ablation.when.lora.rank: variants is not an axis",
        ),
        (
            Ablation(axes=AXES, when={"lora.rank": {"variant": ["mpc", "mcp"]}}),
            "ablation.when.lora.rank: variant is never mcp; its values are [base,mpc].",
        ),
        (Ablation(axes=AXES, when={"lora.rank": {}}), "ablation.when.lora.rank is empty; expected an axis"),
        (Ablation(axes=AXES, when={"lora.rank": {"lora.rank": 4}}), "waits for itself"),
        (
            Ablation(axes=AXES, exclude=[{"variant": "mpc"}, {"lora.rank": 5}]),
            "ablation.exclude[1]: lora.rank is never 5; its values are [4,8,16].",
        ),
        (Ablation(axes=AXES, exclude=[{}]), "ablation.exclude[0] is empty"),
        (Ablation(exclude=[{"variant": "m"}]), "variant is not an axis of this ablation; there are none."),
        (
            Ablation(axes=AXES, exclude=[{"variant": ["base", "mpc"]}]),
            "ablation.exclude leaves nothing to run",
        ),
        (Ablation(axes={"variant": []}), "ablation.axes.variant=[] leaves nothing to run"),
    ],
)
def test_what_is_wrong_is_told(ablation: Ablation, message: str) -> None:
    faults = _faults(ablation)
    assert len(faults) == 1
    assert message in faults[0]


def test_all_that_is_wrong_is_told_at_once() -> None:
    faults = _faults(
        Ablation(
            axes={**AXES, "train.lr": []},
            zip=[["variant"]],
            when={"rank": {"variant": "mpc"}},
            exclude=[{"variant": "ldm"}],
        )
    )
    assert [fault.split(":")[0].split("=")[0] for fault in faults] == [
        "ablation.axes.train.lr",
        "ablation.zip",
        "ablation.when.rank",
        "ablation.exclude[0]",
    ]


def test_a_condition_on_a_value_that_was_taken_out_is_idle() -> None:
    axes = {FORM: ["official"], MARGIN: [0.1, 0.2]}
    ablation = Ablation(axes=axes, when={MARGIN: {FORM: "triplet"}}, exclude=[{FORM: "triplet"}])
    assert expand_grid(ablation, narrowed=True) == [{FORM: "official"}]
    assert len(_faults(ablation)) == 2
