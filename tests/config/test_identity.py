"""A run's id says what it computes, and nothing of where."""

from __future__ import annotations

import pytest

from changed import changed
from scoft_hpc.config.identity import run_id
from scoft_hpc.config.schema import Form, RunConfig, Variant, Wandb, WandbMode
from scoft_hpc.runs.layout import RUN_ID


def _id(**changes: object) -> str:
    return run_id(changed(RunConfig(), {name.replace("__", "."): value for name, value in changes.items()}))


def test_reads_well() -> None:
    head, _, digest = _id(culture="korea", variant=Variant.mpc, seed=3).rpartition("-")
    assert head == "korea-mpc-s3"
    assert len(digest) == 8


@pytest.mark.parametrize(
    "change",
    [
        {"output": "/x"},
        {"device": "cpu"},
        {"threads": 3},
        {"study": "a"},
        {"save_seconds": 1.0},
        {"wandb": Wandb(WandbMode.online, live=True)},
        {"tensorboard": True},
        {"data__root": "/x"},
        {"model__path": "/x"},
        {"model__gflop": 1.0},
        {"objective__vgg_path": "/x"},
    ],
)
def test_place_does_not_matter(change: dict[str, object]) -> None:
    assert _id(**change) == _id()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"culture": "china"},
        {"variant": Variant.mp},
        {"train__lr": 1.0},
        {"train__betas": (0.5, 0.9)},
        {"lora__rank": 3},
        {"lora__targets": ("to_q",)},
        {"objective__every": 3},
        {"objective__form": Form.triplet},
        {"model__digest": "a"},
        {"model__resolution": 8},
        {"data__digest": "b"},
        {"data__negatives__seed": 1},
        {"evaluation__seed": 2},
    ],
)
def test_science_matters(change: dict[str, object]) -> None:
    assert _id(**change) != _id()


def test_base_does_not_depend_on_training() -> None:
    base = _id(variant=Variant.base)
    for change in (
        {"train__lr": 1.0},
        {"lora__rank": 3},
        {"objective__form": Form.triplet},
        {"objective__digest": "a"},
        {"data__negatives__digest": "a"},
        {"data__negatives__per_positive": 4},
        {"data__random_flip": False},
    ):
        assert _id(variant=Variant.base, **change) == base
    for change in (
        {"evaluation__seed": 1},
        {"data__pairs": 3},
        {"data__digest": "a"},
        {"model__digest": "a"},
    ):
        assert _id(variant=Variant.base, **change) != base


@pytest.mark.parametrize("culture", ["perú", "한국", "../../etc", "A b", ".", "x" * 100])
def test_any_culture_makes_a_safe_id(culture: str) -> None:
    assert RUN_ID.fullmatch(_id(culture=culture))
