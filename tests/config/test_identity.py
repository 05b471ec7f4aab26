"""A run's id says what it computes, and nothing of where."""

from __future__ import annotations

import pytest

from scoft_hpc.config import compose
from scoft_hpc.config.identity import run_id
from scoft_hpc.runs.layout import RUN_ID


def _id(*words: str) -> str:
    return run_id(compose.compose("train", words))


def test_reads_well() -> None:
    head, _, digest = _id("culture=korea", "variant=mpc", "seed=3").rpartition("-")
    assert head == "korea-mpc-s3"
    assert len(digest) == 8


@pytest.mark.parametrize(
    "word",
    [
        "output=/x",
        "device=cpu",
        "threads=3",
        "study=a",
        "save_seconds=1",
        "cluster.jobs=2",
        "wandb.mode=online",
    ]
    + ["data.root=/x", "model.path=/x", "objective.vgg_path=/x"],
)
def test_place_does_not_matter(word: str) -> None:
    assert _id(word) == _id()


@pytest.mark.parametrize(
    "word",
    [
        "seed=1",
        "culture=china",
        "variant=mp",
        "train.lr=1",
        "lora.rank=3",
        "objective.every=3",
        "model.digest=a",
    ]
    + ["data.digest=b", "evaluation.seed=2", "model.resolution=8", "objective=triplet"],
)
def test_science_matters(word: str) -> None:
    assert _id(word) != _id()


@pytest.mark.parametrize("word", ["train.lr=1", "lora.rank=3", "objective=triplet"])
def test_base_does_not_depend_on_training(word: str) -> None:
    assert _id("variant=base", word) == _id("variant=base")


@pytest.mark.parametrize("culture", ["perú", "한국", "../../etc", "A b", ".", "x" * 100])
def test_any_culture_makes_a_safe_id(culture: str) -> None:
    assert RUN_ID.fullmatch(_id(f"culture={culture}"))
