"""Scores against pictures whose truth is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from scoft_hpc.config import compose
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.data import images
from scoft_hpc.evaluation.generate import EvaluatedRun, Sample, neutral_samples, samples
from scoft_hpc.evaluation.scores import score
from scoft_hpc.evaluation.scoring_inputs import ScoringModels
from scoft_hpc.inputs import data_root, dataset
from scoft_hpc.inputs.prompts import evaluation_prompts
from scoft_hpc.inputs.toy import scenes
from scoft_hpc.study.paths import RunDir

CPU = torch.device("cpu")
TRUTH = {"default_style", "in_style", "subject"}
HELD_OUT = {"kid", "cmmd", "fid", "memorization", "copies"}
DRAWN = {"base_distance", "neutral_kid", "neutral_clip_score"}
"""Metrics that need images which only a run that drew its samples has."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("world")


@pytest.fixture
def subject(world: Path, tmp_path: Path) -> EvaluatedRun:
    config: RunConfig = compose.compose(
        "train", [f"output={world}", "culture=mexico", "evaluation.samples=2", "evaluation.neutral=8"]
    )
    manifest = dataset.read(data_root.locate(config.data, world), "mexico", None)
    return EvaluatedRun(RunDir(tmp_path / "run"), replace(config, output=str(tmp_path)), manifest, 0)


def show(ones: Sequence[Sample], pictures: Sequence[Path], base: bool = False) -> None:
    """Put the pictures in the samples' places, or in those of the base's own images."""
    for one, picture in zip(ones, pictures, strict=True):
        images.write_png(one.base if base else one.file, images.read_images([picture], 64)[0])


def scored(subject: EvaluatedRun, pictures: Sequence[Path]) -> dict[str, Any]:
    """Score these pictures, given in prompt order, as the run's samples."""
    show(samples(subject), pictures)
    score(subject, ScoringModels(subject.config.scoring, CPU))
    return json.loads(subject.run.scores.read_text())


def by_prompt(subject: EvaluatedRun, pairs: tuple[dataset.Pair, ...]) -> list[Path]:
    """Two pictures a prompt that show what it names."""
    chosen = []
    for prompt in evaluation_prompts(subject.config, subject.manifest):
        thing = prompt.split()[1]
        chosen += [pair.image for pair in pairs if f" {thing} " in f" {pair.text} "][:2]
    return chosen


@pytest.mark.slow
def test_training_pictures_are_in_style_and_memorized(subject: EvaluatedRun) -> None:
    metrics = scored(subject, by_prompt(subject, subject.manifest.pairs))["metrics"]
    assert metrics["in_style"]["value"] >= 0.9
    assert metrics["default_style"]["value"] == 0
    assert metrics["subject"]["value"] >= 0.9
    assert metrics["memorization"] == {"value": 1.0, "n": 16, "references": 56}
    assert metrics["copies"]["value"] == 1.0


def test_held_out_pictures_are_in_style_and_not_memorized(subject: EvaluatedRun) -> None:
    metrics = scored(subject, by_prompt(subject, subject.manifest.held_out))["metrics"]
    assert metrics["in_style"]["value"] >= 0.9
    assert metrics["memorization"]["value"] == 0
    assert metrics["copies"]["value"] == 0, "a held-out picture is no copy, however near"


@pytest.mark.slow
def test_pictures_of_the_culture_are_nearer_to_it_than_those_of_another(subject: EvaluatedRun) -> None:
    config = subject.config
    own = scored(subject, by_prompt(subject, subject.manifest.pairs))["metrics"]
    other = dataset.read(data_root.locate(config.data, Path(config.output)), "korea", None)
    foreign = scored(subject, by_prompt(subject, other.pairs))["metrics"]
    for name in ("kid", "cmmd"):
        assert own[name]["value"] < foreign[name]["value"]
        assert (own[name]["n"], own[name]["references"]) == (16, 28)
    assert foreign["in_style"]["value"] == 0


def test_one_picture_over_and_over_has_no_diversity(subject: EvaluatedRun) -> None:
    result = scored(subject, [subject.manifest.pairs[0].image] * 16)
    assert result["metrics"]["diversity"] == {"value": pytest.approx(0, abs=1e-5), "n": 16}
    assert result["metrics"]["vendi"]["value"] == pytest.approx(1, abs=1e-3)
    assert result["metrics"]["subject"]["value"] == pytest.approx(1 / 8)


@pytest.mark.slow
def test_the_bases_own_images_are_no_distance_from_it_and_forget_nothing(subject: EvaluatedRun) -> None:
    pictures = by_prompt(subject, subject.manifest.pairs)
    show(samples(subject), pictures, base=True)
    show(neutral_samples(subject), pictures)
    show(neutral_samples(subject), pictures, base=True)
    same = scored(subject, pictures)["metrics"]
    assert same["base_distance"]["value"] == pytest.approx(0, abs=1e-6)
    assert same["neutral_kid"]["value"] == pytest.approx(0, abs=1e-9)
    show(neutral_samples(subject), by_prompt(subject, subject.manifest.held_out)[::-1])
    moved = scored(subject, pictures[::-1])["metrics"]
    assert moved["base_distance"]["value"] > 0.01
    assert moved["neutral_clip_score"]["n"] == 16


def test_rows_hold_what_a_runs_value_is_the_mean_of(subject: EvaluatedRun) -> None:
    pictures = by_prompt(subject, subject.manifest.held_out)
    show(neutral_samples(subject), pictures)
    result = scored(subject, pictures)
    assert result["version"] == 2 and set(result["networks"]) == {"clip", "features"}
    assert result["samples"][3]["file"] == "samples/p01-s01.png"
    assert result["samples"][3]["prompt"] == f"a {scenes.SUBJECTS[1]} in mexico"
    assert result["neutral"][3] == {
        "file": "neutral/p01-s01.png",
        "prompt": f"a {scenes.SUBJECTS[1]}",
        "model_prompt": f"a {scenes.SUBJECTS[1]}",
        "neutral_clip_score": pytest.approx(result["neutral"][3]["neutral_clip_score"]),
    }
    for name, metric in result["metrics"].items():
        key = METRICS[name].rows_key
        if key is None:
            assert not any(name in row for part in ("samples", "prompts", "neutral") for row in result[part])
        else:
            values = [row[name] for row in result[key]]
            assert metric["value"] == pytest.approx(sum(values) / len(values))


def test_photographs_have_no_known_truth(subject: EvaluatedRun) -> None:
    folder = replace(subject.config, data=replace(subject.config.data, name="folder"))
    photographs = EvaluatedRun(subject.run, folder, replace(subject.manifest, held_out=()), 0)
    texts = evaluation_prompts(folder, photographs.manifest)
    assert texts == list(dict.fromkeys(pair.text for pair in subject.manifest.pairs))[:8]
    result = scored(photographs, [pair.image for pair in subject.manifest.pairs[:16]])
    assert (
        {"clip_score", "diversity", "vendi"}
        <= set(result["metrics"])
        == set(METRICS) - TRUTH - HELD_OUT - DRAWN
    )


def test_only_what_was_asked_for_is_computed_and_no_other_network_is_named(subject: EvaluatedRun) -> None:
    few = replace(
        subject.config, scoring=replace(subject.config.scoring, metrics=("fid", "in_style"), clip="/nowhere")
    )
    result = scored(
        EvaluatedRun(subject.run, few, subject.manifest, 0), by_prompt(subject, subject.manifest.pairs)
    )
    assert list(result["metrics"]) == ["in_style", "fid"] and list(result["networks"]) == ["features"]
    assert "2048" in result["metrics"]["fid"]["warning"]


@pytest.mark.slow
def test_a_judge_that_the_run_was_trained_towards_is_doubted(subject: EvaluatedRun, tmp_path: Path) -> None:
    torch.manual_seed(0)
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_ratio": 2}
    Dinov2Model(Dinov2Config(**tiny, image_size=28, patch_size=14)).save_pretrained(tmp_path / "dino")
    config = replace(
        subject.config,
        objective=replace(
            subject.config.objective, distance="dino", distance_path=str(tmp_path / "." / "dino")
        ),
        scoring=replace(
            subject.config.scoring, features="dino", features_path=str(tmp_path / "dino"), clip="toy"
        ),
    )
    pictures = by_prompt(subject, subject.manifest.pairs)
    metrics = scored(EvaluatedRun(subject.run, config, subject.manifest, 0), pictures)["metrics"]
    assert "trained with" in metrics["diversity"]["warning"] and "trained with" in metrics["kid"]["warning"]
    assert "warning" not in metrics["clip_score"] and "warning" not in metrics["in_style"]
    untrained = replace(config, variant=type(config.variant).ldm)
    metrics = scored(EvaluatedRun(subject.run, untrained, subject.manifest, 0), pictures)["metrics"]
    assert "warning" not in metrics["diversity"]
