"""What the shipped files can do, measured again from the files."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from scoft_hpc.config import compose
from scoft_hpc.inputs.toy.scenes import CULTURES
from scoft_hpc.inputs.toy.world import ASSETS, RECIPE, any_scene
from scoft_hpc.models.toy_networks import load_scorer
from toy_pretraining.autoencoder import reconstructions
from toy_pretraining.captions import MAX_LENGTH, token_ids, words
from toy_pretraining.measure import base_rates, load_base, psnr_by_style, scorer_accuracy
from toy_pretraining.web_dataset import ImageDataset, pictures_of


@pytest.fixture(scope="module")
def base() -> Any:
    return load_base(ASSETS / "base")


@pytest.fixture(scope="module")
def held_out() -> ImageDataset:
    rng = np.random.default_rng(99)
    return pictures_of([any_scene(rng) for _ in range(384)])


def test_the_files_are_those_of_the_recipe_and_small() -> None:
    recipe = json.loads((ASSETS / "recipe.json").read_text())
    files = [path for path in ASSETS.rglob("*") if path.is_file() and path.name != "recipe.json"]
    digests = {
        path.relative_to(ASSETS).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    assert digests == recipe["sha256"]
    assert recipe["world"] == RECIPE
    assert sum(path.stat().st_size for path in files) <= 12_000_000


def test_the_base_is_of_stable_diffusions_classes(base: Any) -> None:
    assert {name: type(part).__name__ for name, part in base.components.items() if part is not None} == {
        "vae": "AutoencoderKL",
        "unet": "UNet2DConditionModel",
        "text_encoder": "CLIPTextModel",
        "tokenizer": "CLIPTokenizer",
        "scheduler": "DPMSolverMultistepScheduler",
    }
    for part in (base.vae, base.unet, base.text_encoder):
        assert {weight.dtype for weight in part.parameters()} == {torch.float32}
    config = base.scheduler.config
    assert (config.beta_start, config.beta_end, config.beta_schedule) == (0.00085, 0.012, "scaled_linear")
    assert (config.prediction_type, config.steps_offset) == ("epsilon", 1)
    projections = [
        name for name, _ in base.unet.named_modules() if name.endswith(("to_q", "to_k", "to_v", "to_out.0"))
    ]
    assert len(projections) >= 32


def test_a_pass_of_the_unet_works_as_much_as_the_settings_say(base: Any) -> None:
    model = compose.compose("train", []).model
    size = model.resolution // 2 ** (len(base.vae.config.block_out_channels) - 1)
    latents = torch.zeros(1, base.unet.config.in_channels, size, size)
    text = torch.zeros(1, MAX_LENGTH, base.unet.config.cross_attention_dim)
    with torch.no_grad(), FlopCounterMode(display=False) as counted:
        base.unet(latents, torch.zeros(1), text)
    assert model.gflop == pytest.approx(counted.get_total_flops() / 1e9, rel=0.01)


def test_any_text_has_tokens_and_the_worlds_words_are_whole(base: Any) -> None:
    tokenizer = base.tokenizer
    assert all(len(tokenizer(noun).input_ids) == 3 for noun in words())
    strange = "Ein Mädchen, 한복 입은 — 100% ≈ ok\tno"
    ids = tokenizer(strange).input_ids
    assert tokenizer.eos_token_id not in ids[1:-1]
    assert token_ids(tokenizer, [strange * 9, ""]).shape == (2, MAX_LENGTH)


@pytest.mark.slow
def test_the_autoencoder_redraws_every_style(base: Any, held_out: ImageDataset) -> None:
    assert min(psnr_by_style(base.vae, held_out).values()) >= 25.0


@pytest.mark.slow
def test_the_latents_have_unit_scale(base: Any, held_out: ImageDataset) -> None:
    with torch.no_grad():
        z = base.vae.encode(held_out.x(slice(None))).latent_dist.mode() * base.vae.config.scaling_factor
    assert 0.8 < z.std().item() < 1.2


@pytest.mark.slow
def test_the_scorer_reads_style_and_subject(base: Any, held_out: ImageDataset) -> None:
    scorer = load_scorer()
    for x in (held_out.x(slice(None)), reconstructions(base.vae, held_out)):
        accuracy = scorer_accuracy(scorer, x, held_out)
        assert min(accuracy.values()) >= 0.95, accuracy


@pytest.mark.slow
def test_the_base_draws_cultures_in_the_default_style(base: Any) -> None:
    measured = base_rates(base, load_scorer(), samples_per_prompt=2, seed=7)
    assert set(measured) == set(CULTURES)
    for culture, rates in measured.items():
        assert rates.default_style >= 0.6, (culture, rates)
        assert rates.own_style <= 0.1, (culture, rates)
        assert rates.subject >= 0.5, (culture, rates)
