"""Scores against pictures whose truth is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scoft_hpc.config import compose
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.data import images, manifest, source
from scoft_hpc.evaluation.generate import Subject
from scoft_hpc.evaluation.prompts import asked, sample_name
from scoft_hpc.evaluation.scores import score
from scoft_hpc.runs.layout import RunDir
from scoft_hpc.toy.networks import load_scorer


@pytest.fixture
def subject(tmp_path: Path) -> Subject:
    config: RunConfig = compose.compose(
        "train", [f"output={tmp_path}", "culture=mexico", "evaluation.samples=2"]
    )
    found = manifest.read(source.locate(config.data, tmp_path), "mexico", None)
    return Subject(RunDir(tmp_path / "run"), config, found, 0)


def scored(subject: Subject, pictures: list[Path]) -> dict:
    """Score these pictures, given in prompt order, as the run's samples."""
    size = subject.config.evaluation.samples
    for i, picture in enumerate(pictures):
        name = sample_name(i // size, i % size)
        images.write_png(subject.run.samples / name, images.read_images([picture], 64)[0])
    score(subject, load_scorer())
    return json.loads(subject.run.scores.read_text())


def by_prompt(subject: Subject, pairs: tuple[manifest.Pair, ...]) -> list[Path]:
    """Two pictures a prompt that show what it names."""
    chosen = []
    for prompt in asked(subject.config, subject.manifest):
        thing = prompt.split()[1]
        chosen += [pair.image for pair in pairs if f" {thing} " in f" {pair.text} "][:2]
    return chosen


def test_training_pictures_are_in_style_and_memorized(subject: Subject) -> None:
    metrics = scored(subject, by_prompt(subject, subject.manifest.pairs))["metrics"]
    assert metrics["in_style"]["value"] >= 0.9
    assert metrics["default_style"]["value"] == 0
    assert metrics["subject"]["value"] >= 0.9
    assert metrics["memorization"] == {"value": 1.0, "n": 16}


def test_held_out_pictures_are_in_style_and_not_memorized(subject: Subject) -> None:
    result = scored(subject, by_prompt(subject, subject.manifest.held_out))
    assert result["metrics"]["in_style"]["value"] >= 0.9
    assert result["metrics"]["memorization"]["value"] == 0
    assert all(row["nearest_held_out"] == pytest.approx(0, abs=1e-5) for row in result["samples"])


def test_one_picture_over_and_over_has_no_diversity(subject: Subject) -> None:
    result = scored(subject, [subject.manifest.pairs[0].image] * 16)
    assert result["metrics"]["diversity"] == {"value": pytest.approx(0, abs=1e-5), "n": 8}
    assert result["metrics"]["subject"]["value"] == pytest.approx(1 / 8)


def test_photographs_have_no_known_truth(subject: Subject, tmp_path: Path) -> None:
    from dataclasses import replace

    folder = replace(subject.config, data=replace(subject.config.data, name="folder"))
    photographs = Subject(subject.run, folder, replace(subject.manifest, held_out=()), 0)
    texts = asked(folder, photographs.manifest)
    assert texts == list(dict.fromkeys(pair.text for pair in subject.manifest.pairs))[:8]
    result = scored(photographs, [pair.image for pair in subject.manifest.pairs[:16]])
    assert set(result["metrics"]) == {"diversity"}
    assert result["samples"][0]["in_style"] is None
    assert torch.tensor([row["nearest_train"] for row in result["samples"]]).abs().max() < 1e-5
