"""The networks that judge, against plain calls of transformers' own; and what is told where one is not there."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer, Dinov2Model

from perceptual.slow_preprocessing import CLIP, IMAGENET, coloured, images, in_unit_range, resized
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.config.schema import Scoring
from scoft_hpc.errors import ConfigError
from scoft_hpc.evaluation.embedders import dino_embedder, load_clip, load_embedder
from scoft_hpc.evaluation.scoring_inputs import ScoringModels
from scoft_hpc.inputs.checkpoints import embedders
from scoft_hpc.inputs.toy.world import ASSETS

CPU = torch.device("cpu")
TEXTS = ["a house", "a house in korea", "a striped tower " * 20]


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random CLIP of 32 pixels with the toy world's tokenizer."""
    folder, tokenizer = (
        tmp_path_factory.mktemp("clip"),
        CLIPTokenizer.from_pretrained(ASSETS / "base" / "tokenizer"),
    )
    torch.manual_seed(0)
    tower = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    tokens = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = {**tower, **tokens, "vocab_size": len(tokenizer), "max_position_embeddings": 24}
    vision = {**tower, "image_size": 32, "patch_size": 8}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=16))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def test_dino_is_the_class_token_after_the_last_layer_norm(folders: dict[str, Path]) -> None:
    network, x = Dinov2Model.from_pretrained(folders["dino"]).eval(), images(3)
    features = dino_embedder(folders["dino"])(x)
    for n in range(3):
        pixels = resized(in_unit_range(x[n]).clip(0, 1)).clip(0, 1)
        expected = network(coloured(pixels, IMAGENET)).last_hidden_state[0, 0]
        torch.testing.assert_close(features[n], expected, rtol=1e-3, atol=1e-3)


@torch.no_grad()
def test_clip_compares_images_and_texts_as_transformers_own_forward_does(clip_folder: Path) -> None:
    judge = load_clip(Scoring(clip=str(clip_folder)), CPU)
    x = images(2)
    ours_x, ours_t = judge.images(x), judge.texts(TEXTS)
    model = CLIPModel.from_pretrained(clip_folder).eval()
    tokenizer = CLIPTokenizer.from_pretrained(clip_folder)
    for n in range(2):
        pixels = coloured(resized(in_unit_range(x[n]).clip(0, 1), 32).clip(0, 1), CLIP)
        for t, text in enumerate(TEXTS):
            tokens = tokenizer([text], truncation=True, max_length=24, return_tensors="pt")
            logits = model(pixel_values=pixels, **tokens).logits_per_image / model.logit_scale.exp()
            cosine = torch.cosine_similarity(ours_x[n], ours_t[t], dim=0)
            assert float(cosine) == pytest.approx(float(logits), abs=2e-3)
    assert not torch.allclose(ours_t[0], ours_t[1])


@torch.no_grad()
def test_a_batch_is_judged_as_its_images_are_one_by_one(clip_folder: Path, folders: dict[str, Path]) -> None:
    scoring = Scoring(clip=str(clip_folder), features_path=str(folders["dino"]))
    judges, x = ScoringModels(scoring, CPU), images(40, size=32)
    for judge in (judges.features, judges.clip_images):
        whole = judge(x)
        torch.testing.assert_close(whole, torch.cat([judge(one[None]) for one in x]), rtol=1e-3, atol=1e-4)
    texts = judges.clip_texts(["b", "a", "b"])
    assert torch.equal(texts[0], texts[2]) and not torch.equal(texts[0], texts[1])
    prefixed = load_clip(scoring, CPU).texts(["A photo depicts b"])
    torch.testing.assert_close(texts[:1], prefixed, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_the_toy_judges_ship_and_tell_pictures_apart() -> None:
    scoring, x = Scoring(features="toy", clip="toy"), images(2, size=64)
    features = load_embedder(scoring, CPU)(x)
    assert features.shape[0] == 2 and not torch.allclose(features[0], features[1])
    assert embedders.resolve(scoring) == scoring, "nothing to look for"
    named = embedders.embedder_records(scoring)
    assert {part: judge.name for part, judge in named.items()} == {"clip": "toy", "features": "toy"}


def test_digests_tell_networks_apart(clip_folder: Path, folders: dict[str, Path], tmp_path: Path) -> None:
    scoring = Scoring(clip=str(clip_folder), features_path=str(folders["dino"]))
    before = embedders.embedder_records(scoring)
    assert before["features"].name == "dino" and before["clip"].name == clip_folder.name
    copy = tmp_path / "other"
    shutil.copytree(clip_folder, copy)
    assert (
        embedders.embedder_records(replace(scoring, clip=str(copy)))["clip"].digest == before["clip"].digest
    )
    state = bytearray((copy / "model.safetensors").read_bytes())
    state[-1] ^= 1
    (copy / "model.safetensors").write_bytes(state)
    assert (
        embedders.embedder_records(replace(scoring, clip=str(copy)))["clip"].digest != before["clip"].digest
    )


def test_all_that_is_missing_is_told_at_once_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    with pytest.raises(ConfigError) as caught:
        embedders.resolve(Scoring())
    text = str(caught.value)
    for command in ("hf download facebook/dinov2-large", "hf download openai/clip-vit-large-patch14"):
        assert command in text
    assert "scoring.metrics=[…]" in text and "neutral_kid" in text and "cmmd" in text
    assert embedders.resolve(Scoring(metrics=("in_style",))).metrics == ("in_style",)
    with pytest.raises(ConfigError, match="dinov2-large") as caught:
        embedders.resolve(Scoring(metrics=("kid",)))
    assert "clip-vit" not in str(caught.value), "only what the metrics look through"


def test_another_network_or_half_a_one_is_refused(
    folders: dict[str, Path], clip_folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"model_type: 'dinov2'; expected 'clip'"):
        embedders.resolve(Scoring(metrics=("cmmd",), clip=_with_tokenizer(folders["dino"], tmp_path)))
    with pytest.raises(ConfigError, match=r"tokenizer\.json is missing"):
        embedders.resolve(Scoring(metrics=("cmmd",), clip=str(folders["clip"])))
    half = tmp_path / "half"
    shutil.copytree(clip_folder, half)
    whole = (half / "model.safetensors").read_bytes()
    (half / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match=r"scoring\.clip=.*half"):
        embedders.resolve(Scoring(metrics=("cmmd",), clip=str(half)))
    (half / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"model\.safetensors is missing"):
        embedders.resolve(Scoring(metrics=("cmmd",), clip=str(half)))
    with pytest.raises(ConfigError, match=r"not used by scoring\.features=toy"):
        embedders.resolve(Scoring(features="toy", features_path="x", clip="toy"))


def _with_tokenizer(folder: Path, tmp_path: Path) -> str:
    copy = tmp_path / "odd"
    shutil.copytree(folder, copy)
    (copy / "tokenizer.json").write_text("{}")
    return str(copy)


def test_every_metric_says_which_network_it_looks_through() -> None:
    assert {spec.embedder for spec in METRICS.values()} == {None, "features", "clip"}
    assert embedders.networks(["in_style"]) == set()
    assert embedders.networks(["kid", "cmmd", "subject"]) == {"features", "clip"}
    assert np.all([name in METRICS for name in Scoring().metrics]) and "fid" not in Scoring().metrics
