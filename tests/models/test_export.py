"""What others take from a run: the adapter in two forms of one meaning, and a card whose code runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from huggingface_hub import ModelCard
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

import tiny
from scoft_hpc.config.schema import (
    Cadence,
    ContrastiveForm,
    Data,
    Evaluation,
    Lora,
    Model,
    Objective,
    RunConfig,
    Train,
    Variant,
)
from scoft_hpc.inputs.checkpoints import base_model
from scoft_hpc.models.families.stable_diffusion import kohya_version
from scoft_hpc.models.lora import LoraStack
from scoft_hpc.models.lora_file import AdapterFormat
from scoft_hpc.models.model_card import KOHYA, WEIGHTS, hub_id_of, loss, write_card

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
SNAPSHOT = "/scratch/hf/hub/models--CompVis--stable-diffusion-v1-4/snapshots/133a221b8aa7292a167afc5127cb63fb5005638b"


@pytest.fixture(scope="module")
def toy() -> Path:
    return Path(base_model.resolve(Model()).path)


@pytest.fixture(scope="module")
def pipe(toy: Path) -> StableDiffusionPipeline:
    return StableDiffusionPipeline.from_pretrained(toy, local_files_only=True)


@pytest.fixture
def own(pipe: StableDiffusionPipeline) -> Iterator[StableDiffusionPipeline]:
    yield pipe
    pipe.unload_lora_weights()


def stack(unet: Any, rank: int, alpha: float | None, version: str | None = None) -> LoraStack:
    """An adapter on a copy of the network, so that the pipeline's own stays plain."""
    files = AdapterFormat("unet", "lora_unet", version)
    lora = LoraStack(unet, 2, Lora(rank, alpha, TARGETS), files, TARGETS)
    for lane in range(2):
        rng = torch.Generator().manual_seed(lane)
        for part in lora.parameters(lane).values():
            part.copy_(torch.randn(part.shape, generator=rng))
    return lora


def adapters(pipe: StableDiffusionPipeline) -> dict[str, torch.Tensor]:
    """What each adapted layer adds to its weight, as the pipeline has it: scale B A."""
    added = {}
    for name, layer in pipe.unet.named_modules():
        if hasattr(layer, "lora_A") and layer.lora_A:
            (adapter,) = layer.active_adapters
            a, b = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
            added[name] = (layer.scaling[adapter] * b @ a).detach()
    return added


@pytest.mark.parametrize(("rank", "alpha"), [(4, None), (4, 16.0), (8, 2.5)])
def test_both_files_are_the_same_adapter_in_diffusers(
    own: StableDiffusionPipeline, toy: Path, tmp_path: Path, rank: int, alpha: float | None
) -> None:
    lora = stack(UNet2DConditionModel.from_pretrained(toy / "unet", local_files_only=True), rank, alpha)
    lora.export(1, tmp_path / WEIGHTS)
    lora.export_kohya(1, tmp_path / KOHYA, "korea-mpc-s0")
    outputs = []
    for name in (WEIGHTS, KOHYA):
        own.load_lora_weights(tmp_path, weight_name=name, local_files_only=True)
        outputs.append(adapters(own))
        own.unload_lora_weights()
    assert set(outputs[0]) == set(outputs[1]) == set(lora.layers)
    for name, added in outputs[0].items():
        layer = lora.layers[name]
        torch.testing.assert_close(added, layer.scale * (layer.B[1] @ layer.A[1]).detach())
        torch.testing.assert_close(added, outputs[1][name], rtol=0, atol=0)


def test_the_metadata_is_a_whole_lora_configuration(tmp_path: Path) -> None:
    """diffusers 0.35 to 0.39 index `rank_pattern` and `alpha_pattern` and fail where a file's metadata lacks them."""
    stack(tiny.unet(), 4, 2.5).export(0, tmp_path / WEIGHTS)
    with safe_open(tmp_path / WEIGHTS, "pt") as opened:
        metadata = json.loads(opened.metadata()["lora_adapter_metadata"])
    assert metadata == {
        "unet.r": 4,
        "unet.lora_alpha": 2.5,
        "unet.rank_pattern": {},
        "unet.alpha_pattern": {},
        "unet.target_modules": list(TARGETS),
        "unet.lora_dropout": 0.0,
        "unet.bias": "none",
    }


def test_kohyas_file(tmp_path: Path) -> None:
    """The keys and words that ComfyUI and the A1111 web UI look for, by sd-scripts' networks/lora.py."""
    lora = stack(tiny.unet(), 4, 2.5, "sd_v1")
    path = tmp_path / KOHYA
    lora.export_kohya(0, path, "korea-mpc-s0")
    tensors = load_file(path)
    key_prefix = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_out_0"
    layer = lora.layers["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_out.0"]
    torch.testing.assert_close(tensors[f"{key_prefix}.lora_down.weight"], layer.A[0].detach(), rtol=0, atol=0)
    torch.testing.assert_close(tensors[f"{key_prefix}.lora_up.weight"], layer.B[0].detach(), rtol=0, atol=0)
    assert tensors[f"{key_prefix}.alpha"].shape == () and float(tensors[f"{key_prefix}.alpha"]) == 2.5
    assert len(tensors) == 3 * len(lora.layers)
    assert all(re.fullmatch(r"lora_unet_\w+\.(lora_(down|up)\.weight|alpha)", key) for key in tensors)
    with safe_open(path, "pt") as opened:
        assert opened.metadata() == {
            "ss_base_model_version": "sd_v1",
            "ss_network_alpha": "2.5",
            "ss_network_dim": "4",
            "ss_network_module": "networks.lora",
            "ss_output_name": "korea-mpc-s0",
            "ss_v2": "False",
        }
    assert path.stat().st_mode & 0o044


def test_equal_adapters_are_equal_files(tmp_path: Path) -> None:
    """safetensors writes its metadata in another order each time; a result's hash must not depend on that."""
    files = [tmp_path / str(n) for n in range(12)]
    for file in files:
        stack(tiny.unet(), 4, 2.5, "sd_v2_v").export_kohya(0, file, "korea-mpc-s0")
    assert len({file.read_bytes() for file in files}) == 1


@pytest.mark.parametrize(
    ("width", "velocity", "family"),
    [(768, False, "sd_v1"), (1024, False, "sd_v2"), (1024, True, "sd_v2_v"), (16, False, None)],
)
def test_the_family_of_a_base(width: int, velocity: bool, family: str | None) -> None:
    assert kohya_version(width, velocity) == family


def config(**science: Any) -> RunConfig:
    """A toy run, as its plan leaves it."""
    return RunConfig(
        model=Model(path=science.pop("path", "toy"), resolution=64, digest="0123456789abcdef"),
        data=Data(digest="fedcba9876543210"),
        lora=science.pop("lora", Lora(rank=4)),
        train=Train(steps=80),
        evaluation=Evaluation(steps=2),
        **science,
    )


def card_of(path: Path, config: RunConfig, **more: Any) -> ModelCard:
    write_card(path, config, pairs=24, **more)
    return ModelCard(path.read_text(encoding="utf-8"))


def test_the_cards_code_draws_with_the_adapter(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as it stands, in the run's folder, with the base under the name that the card gives."""
    unet = UNet2DConditionModel.from_pretrained(toy / "unet", local_files_only=True)
    stack(unet, 4, None).export(0, tmp_path / WEIGHTS)
    prompt = 'a "red" house\nin korea \\ 집'
    card = card_of(tmp_path / "README.md", config(path=str(toy)), samples=[(prompt, "samples/p00-s00.png")])
    (code,) = re.findall(r"```python\n(.*?)```", card.text, flags=re.DOTALL)
    assert json.dumps(prompt, ensure_ascii=False) in code
    (tmp_path / "base").symlink_to(toy)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    with Image.open(tmp_path / "image.png") as image:
        assert image.size == (64, 64)
    assert set(adapters(names["pipe"])) == {n.removesuffix(".lora_A.weight") for n in layers(tmp_path)}
    assert card.data.widget == [{"text": prompt, "output": {"url": "samples/p00-s00.png"}}]


def layers(folder: Path) -> set[str]:
    return {name.removeprefix("unet.") for name in load_file(folder / WEIGHTS) if "lora_A" in name}


def test_a_card_of_a_base_from_the_hub(tmp_path: Path) -> None:
    card = card_of(tmp_path / "README.md", config(path=SNAPSHOT, lora=Lora(rank=4, kohya=True)))
    assert card.data.base_model == "CompVis/stable-diffusion-v1-4"
    assert card.data.license == "creativeml-openrail-m"
    assert card.data.library_name == "diffusers"
    assert {"text-to-image", "lora", "stable-diffusion", "scoft", "korea"} <= set(card.data.tags)
    assert 'base = "CompVis/stable-diffusion-v1-4"\n' in card.text and "from_pretrained(base" in card.text
    assert "/scratch" not in card.content and KOHYA in card.text and "undefined" not in card.content.lower()
    for fact in ("0123456789abcdef", "fedcba9876543210", "24 pairs", "80 of 4 pairs", "rank 4, alpha 4"):
        assert fact in card.text
    front = card.content.split("---\n")[1]
    assert yaml.safe_load(front)["base_model_relation"] == "adapter"


def test_a_card_guesses_nothing(tmp_path: Path) -> None:
    """A base of one's own has no hub id, and its licence is not known; the folder's name is all that is told of it."""
    card = card_of(tmp_path / "README.md", config(path="/home/someone/models/mine.safetensors"))
    assert card.data.base_model is None and card.data.license is None
    assert 'base = "mine.safetensors"  # where' in card.text and "from_single_file(base" in card.text
    assert "someone" not in card.content and KOHYA not in card.content
    assert "draws nothing" in card_of(tmp_path / "README.md", config(path="random")).text


def test_a_card_of_the_toy_world_says_so(tmp_path: Path) -> None:
    run_config = config()
    run_config = replace(run_config, data=replace(run_config.data, name="toy"))
    assert "depict nothing of the culture" in card_of(tmp_path / "1.md", run_config).text
    run_config = replace(run_config, data=replace(run_config.data, name="folder"))
    assert "depict nothing of the culture" not in card_of(tmp_path / "2.md", run_config).text


def test_equal_runs_have_equal_cards(tmp_path: Path) -> None:
    for name in ("1", "2"):
        write_card(tmp_path / name, config(), pairs=24)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (SNAPSHOT, "CompVis/stable-diffusion-v1-4"),
        ("stabilityai/stable-diffusion-2-1", "stabilityai/stable-diffusion-2-1"),
        ("toy", None),
        ("random", None),
        ("/data/sd14", None),
        ("/data/models--a--b/other/c", None),
    ],
)
def test_hub_ids(path: str, expected: str | None) -> None:
    assert hub_id_of(path) == expected


def test_the_loss_in_words() -> None:
    plain = Objective()
    assert loss(Variant.ldm, plain) == "0.7 L_LDM"
    assert loss(Variant.m, plain) == "0.7 L_LDM + 0.3 L_M"
    assert loss(Variant.mp, plain).startswith("0.7 L_LDM + 0.3 L_M + 0.05 L_P + 0.01 VGG, with `dreamsim`")
    triplet = Objective(
        form=ContrastiveForm.triplet, distance="dino", w_vgg=0.0, cadence=Cadence.update, every=3
    )
    description = loss(Variant.mpc, triplet)
    assert (
        description.startswith("0.7 L_LDM + 0.3 L_M + 0.05 L_C, with `dino`")
        and "one in 3 of the updates" in description
    )
    assert "triplet, λ 1, margin 0.1" in description
