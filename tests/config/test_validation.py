"""Ranges and combinations."""

from __future__ import annotations

import dataclasses
import math
import sys
from pathlib import Path

import pytest

from scoft_hpc.config import compose, nodes, validation
from scoft_hpc.config.schema import Prompting, RunConfig, Variant, WandbMode
from scoft_hpc.errors import ConfigError
from settings_changes import changed

TOY = changed(RunConfig(), {"objective.distance": "toy", "objective.w_vgg": 0.0})


def _check(changes: dict[str, object]) -> list[str]:
    return validation.validate(changed(TOY, changes))


def test_what_an_evaluation_needs() -> None:
    assert "needs variant=base" in _check({"evaluation.images": "/x"})[0]
    assert _check({"evaluation.images": "/x", "variant": Variant.base}) == []
    rewritten = {"evaluation.prompting": Prompting.rewritten}
    assert _check(rewritten) == []
    (message,) = _check({**rewritten, "data.name": "folder", "data.root": "/x"})
    assert "add evaluation.rewrites=FILE" in message


@pytest.mark.parametrize("name", ["train", "sweep"])
def test_commands_are_sound_without_words(name: str) -> None:
    config = compose.compose(name, [])
    assert validation.validate(dataclasses.replace(config, seed=0)) == []


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("seed", -1, "0 or more"),
        ("model.resolution", 100, "a multiple of 8"),
        ("model.resolution", 0, "a multiple of 8"),
        ("model.gflop", 0, "more than 0"),
        ("data.pairs", 0, "1 or more"),
        ("data.negatives.strength", 0, "more than 0 and at most 1"),
        ("data.negatives.strength", 1.1, "more than 0 and at most 1"),
        ("data.negatives.per_positive", 0, "1 or more"),
        ("objective.distance", "dreamsin", "one of toy, dreamsim, dino"),
        ("objective.w_c", -0.1, "0 or more"),
        ("objective.w_m", math.nan, "0 or more"),
        ("objective.every", 0, "1 or more"),
        ("objective.rollout_steps", 1, "2 or more"),
        ("objective.guidance", -1, "0 or more"),
        ("lora.rank", 0, "1 or more"),
        ("lora.alpha", 0, "more than 0"),
        ("lora.targets", (), "at least one"),
        ("train.steps", 0, "1 or more"),
        ("train.batch", 0, "1 or more"),
        ("train.lr", 0, "more than 0"),
        ("train.lr", math.nan, "more than 0"),
        ("train.lr", math.inf, "more than 0"),
        ("train.betas", (0.9, 1.0), "two numbers from 0 to below 1"),
        ("train.warmup_steps", -1, "0 or more"),
        ("train.max_grad_norm", 0, "more than 0"),
        ("evaluation.samples", 0, "1 or more"),
        ("evaluation.steps", 0, "1 or more"),
        ("study", "../x", "letters, digits"),
        ("study", ".x", "letters, digits"),
        ("output", "", "a folder"),
        ("device", "gpu", "auto, cpu, cuda or cuda:N"),
        ("threads", 0, "1 or more"),
        ("save_seconds", 0, "more than 0"),
    ],
)
def test_range(name: str, value: object, expected: str) -> None:
    (fault,) = _check({name: value})
    assert fault.startswith(f"{name}=")
    assert expected in fault


def test_every_number_has_a_rule() -> None:
    numbers = {
        name
        for name, hint in nodes.settings(RunConfig).items()
        if hint in (int, float, int | None, float | None, tuple[float, float])
    }
    assert numbers - set(validation.RULES) == set()
    assert set(validation.RULES) <= set(nodes.settings(RunConfig))


def test_edges_are_allowed() -> None:
    changes = {"seed": 0, "model.resolution": 8, "data.negatives.strength": 1.0, "objective.rollout_steps": 2}
    changes |= {"train.betas": (0, 0), "objective.w_c": 0.0, "device": "cuda:1", "study": "A.b_c-1"}
    assert _check(changes) == []


def test_warmup_beyond_the_training() -> None:
    (fault,) = _check({"train.steps": 10, "train.warmup_steps": 11})
    assert "train.warmup_steps=11 is more than train.steps=10" in fault
    assert _check({"train.steps": 10, "train.warmup_steps": 10}) == []


def test_folder_needs_its_root() -> None:
    (fault,) = _check({"data.name": "folder"})
    assert "add data.root=DIR" in fault


def test_root_without_folder_is_a_slip() -> None:
    (fault,) = _check({"data.root": "/photos"})
    assert "add data=folder" in fault
    assert _check({"data.root": "/photos", "data.digest": "0123"}) == [], "as the plan fills it in"


def test_all_runs_faults_at_once_and_each_once() -> None:
    wrong = {"objective.distance": "x"}
    runs = [
        changed(TOY, {**wrong, "variant": v, "seed": s}) for v in (Variant.m, Variant.mp) for s in (0, -1)
    ]
    with pytest.raises(ConfigError) as caught:
        validation.require_valid(runs)
    assert len(str(caught.value).splitlines()) == 2
    validation.require_valid([TOY])


def test_output_is_really_written_and_left_as_it_was(tmp_path: Path) -> None:
    validation.require_writable(tmp_path)
    validation.require_writable(tmp_path / "not" / "yet")
    assert list(tmp_path.iterdir()) == []


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ConfigError, match=r"file/x cannot be written to: Not a directory \(of this path, .*/file exists"
    ):
        validation.require_writable(tmp_path / "file" / "x")
    with pytest.raises(
        ConfigError, match=r"output=/proc/x cannot be written to: .*choose one with output=DIR"
    ):
        validation.require_writable(Path("/proc/x"))


def test_live_curves_need_a_network_and_event_files_their_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _check({"wandb.live": True, "wandb.mode": WandbMode.online, "tensorboard": True}) == []
    (fault,) = _check({"wandb.live": True})
    assert "wandb.mode=offline" in fault and "add wandb.mode=online" in fault
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as where it is not installed
    (fault,) = _check({"tensorboard": True})
    assert "pip install 'scoft-hpc[tensorboard]'" in fault
