"""The stacked LoRA: each row through its own lane's adapter, and a file that diffusers' pipeline takes as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import load_file

import tiny
from scoft_hpc.config.schema import Lora, Model
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import base_model
from scoft_hpc.models.families.stable_diffusion import load
from scoft_hpc.models.lora import LoraStack
from scoft_hpc.models.sampler import sample

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


def randomize(lora: LoraStack, lane: int, seed: int) -> None:
    lora.init(lane, torch.Generator().manual_seed(seed))
    rng = torch.Generator().manual_seed(seed + 100)
    for layer in lora.layers.values():
        layer.B.data[lane] = torch.randn(layer.B.shape[1:], generator=rng) * 0.2  # no chaos yet


def test_each_row_goes_through_its_lanes_adapter() -> None:
    """Against the plain sum W + (alpha / r) B A, lane by lane, in any order of rows."""
    base = tiny.base()
    lora = base.adapt(3, Lora(4, 8.0, TARGETS))
    for lane in range(3):
        randomize(lora, lane, lane)
    layer = lora.layers["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"]
    x, rows = torch.randn(5, 7, layer.linear.in_features), torch.tensor([2, 0, 1, 0, 2])
    with lora.rows(rows):
        y = layer(x)
    for i, lane in enumerate(rows):
        merged = layer.linear.weight + (8.0 / 4) * layer.B[lane] @ layer.A[lane]
        torch.testing.assert_close(y[i], x[i] @ merged.T)
    torch.testing.assert_close(layer(x), layer.linear(x))


def test_a_new_adapter_changes_nothing() -> None:
    base, plain = tiny.base(), tiny.base()
    base.adapt(1, Lora(4, None, TARGETS))
    base.lora.init(0, torch.Generator())
    z, t, text = torch.randn(2, 4, 8, 8), torch.tensor([3, 700]), tiny.states(torch.randn(2, 5, tiny.TEXT))
    with torch.no_grad():
        torch.testing.assert_close(
            base.predict(z, t, text, torch.zeros(2, dtype=torch.long)),
            plain.predict(z, t, text),
            rtol=0,
            atol=0,
        )


def test_unknown_targets_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"lora\.targets=\['to_nothing'\].*try \[to_q,to_k,to_v,to_out\.0\]"
    ):
        tiny.base().adapt(1, Lora(4, targets=("to_nothing",)))


def test_equal_adapters_are_equal_files(tmp_path: Path) -> None:
    """safetensors writes its metadata in another order each time; a result's hash must not depend on that."""
    base = tiny.base()
    base.adapt(1, Lora(4, 2.5, ("to_q",)))
    files = [tmp_path / f"{n}.safetensors" for n in range(12)]
    for file in files:
        base.lora.export(0, file)
    assert len({file.read_bytes() for file in files}) == 1
    assert {f"unet.{name}" for name in base.lora.parameters(0)} == set(load_file(files[0]))


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [None, 16.0])
def test_the_exported_file_draws_the_lanes_image_in_diffusers_own_pipeline(
    tmp_path: Path, alpha: float | None
) -> None:
    model = base_model.resolve(Model())
    folder = Path(model.path)
    base = load(model, torch.device("cpu"))
    base.adapt(2, Lora(8, alpha, TARGETS))
    for lane in range(2):
        randomize(base.lora, lane, lane)
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    text, null = base.encode_text(["a house in korea"]), base.encode_text([""])
    lane_images = sample(base, text, null, noise, steps=5, guidance=4.5, lane=torch.tensor([1]))
    unadapted = sample(base, text, null, noise, steps=5, guidance=4.5)
    file = tmp_path / "pytorch_lora_weights.safetensors"
    base.lora.export(1, file)

    pipe = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True).to(torch.float32)
    pipe.scheduler = DPMSolverMultistepScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    pipe.load_lora_weights(tmp_path)
    theirs = pipe(
        "a house in korea", latents=noise, num_inference_steps=5, guidance_scale=4.5, output_type="pt"
    ).images
    assert (lane_images - unadapted).abs().mean() > 0.02
    torch.testing.assert_close((lane_images + 1) / 2, theirs, rtol=0, atol=1e-4)
    with safe_open(file, "pt") as opened:
        metadata = json.loads(opened.metadata()["lora_adapter_metadata"])
    assert (metadata["unet.r"], metadata["unet.lora_alpha"]) == (8, alpha or 8)
    assert file.stat().st_mode & 0o044
