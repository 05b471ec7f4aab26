"""The toy world's CLIP: loaded as any CLIP is, and what it sees, measured again from its files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer, CLIPImageProcessorPil, CLIPModel

from scoft_hpc.evaluation.scoring_inputs import CLIP_SCORE_PREFIX
from scoft_hpc.inputs.checkpoints.embedders import TOY_CLIP
from scoft_hpc.inputs.toy.scenes import SUBJECTS, Scene, render
from scoft_hpc.inputs.toy.world import ASSETS
from scoft_hpc.models.toy_networks import load_scorer
from toy_pretraining.autoencoder import load_autoencoder, reconstructions
from toy_pretraining.captions import words
from toy_pretraining.clip import PREFIX, pixel_values, save_clip, train_clip
from toy_pretraining.measure_clip import (
    Clip,
    features_of,
    recognition,
    style_scores,
    subjects_read,
)
from toy_pretraining.web_dataset import any_pictures, web_pictures


@pytest.fixture(scope="module")
def clip() -> Clip:
    return Clip(TOY_CLIP)


def test_transformers_loads_it_as_any_clip() -> None:
    network = CLIPModel.from_pretrained(TOY_CLIP, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(TOY_CLIP, local_files_only=True)
    processor = CLIPImageProcessorPil.from_pretrained(TOY_CLIP, local_files_only=True)
    assert {weight.dtype for weight in network.parameters()} == {torch.float16}
    assert 600_000 <= sum(weight.numel() for weight in network.parameters()) <= 800_000
    pictures = [Image.fromarray(render(Scene(subject, 0))) for subject in SUBJECTS]
    texts = [f"a {subject}" for subject in SUBJECTS]
    with torch.no_grad():
        features = network.float()(
            **tokenizer(texts, padding=True, return_tensors="pt"), **processor(pictures, return_tensors="pt")
        )
    assert features.logits_per_image.argmax(1).tolist() == list(range(len(SUBJECTS)))


def test_its_image_processor_does_what_it_was_trained_with() -> None:
    picture = render(Scene("kite", 3))
    processor = CLIPImageProcessorPil.from_pretrained(TOY_CLIP, local_files_only=True)
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    processed = processor(Image.fromarray(picture), return_tensors="pt").pixel_values
    assert torch.allclose(processed, pixel_values(x), atol=1e-5)


def test_it_knows_the_worlds_words_and_clip_scores_prefix(clip: Clip) -> None:
    assert all(len(clip.tokenizer(noun).input_ids) == 3 for noun in words())
    assert clip.tokenizer(PREFIX).input_ids == clip.tokenizer(CLIP_SCORE_PREFIX).input_ids
    longest = clip.tokenizer(f"{PREFIX}a house under the sun in korea").input_ids
    assert len(longest) <= clip.network.config.text_config.max_position_embeddings


@pytest.mark.slow
def test_it_reads_subjects_on_renders_and_on_redrawn_pictures(clip: Clip) -> None:
    held_out = any_pictures(384, seed=99)
    redrawn = reconstructions(load_autoencoder(ASSETS / "base" / "vae"), held_out)
    for x in (held_out.x(slice(None)), redrawn):
        read = subjects_read(clip, x, held_out)
        assert read["accuracy"] >= 0.7, read
        assert read["matching"] - read["mismatching"] >= 0.3, read


def test_its_texts_tell_subjects_apart_more_than_cultures(clip: Clip) -> None:
    texts = clip.texts(
        [f"a {subject} in {culture}" for subject in SUBJECTS for culture in ("korea", "india")]
    )
    cosines = (texts @ texts.T).view(len(SUBJECTS), 2, len(SUBJECTS), 2)
    other_subject = cosines[:, 0, :, 0][~torch.eye(len(SUBJECTS), dtype=torch.bool)]
    assert other_subject.max() < 0.8
    assert cosines.diagonal(dim1=0, dim2=2)[0, 1].min() > other_subject.max()


def test_its_clip_score_knows_the_web_and_no_more(clip: Clip) -> None:
    scores = style_scores(clip, "korea")
    assert scores["default"] > scores["foreign"]


@pytest.mark.slow
def test_its_pooled_feature_knows_redrawn_pictures_again(clip: Clip) -> None:
    recognized = recognition(load_autoencoder(ASSETS / "base" / "vae"), features_of(clip, load_scorer()))
    assert recognized["pooled"]["redrawn"]["top1"] >= 0.9, recognized


@pytest.mark.slow
def test_the_same_seed_trains_the_same_network(tmp_path: Path) -> None:
    web = web_pictures(64, seed=5)
    redrawn = web.x(slice(None))
    for name in ("first", "second"):
        save_clip(train_clip(web, redrawn, steps=2, seed=3), tmp_path / name)
    names = {path.name for path in (tmp_path / "first").iterdir()}
    assert names == {path.name for path in TOY_CLIP.iterdir()}
    for name in names:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
