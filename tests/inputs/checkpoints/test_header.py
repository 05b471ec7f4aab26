"""A single file is told by its header: whole, of another architecture, or only a part."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.original import checkpoint
from scoft_hpc.config.schema import Architecture, Model
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints.base_model import resolve
from scoft_hpc.inputs.checkpoints.single_file import CROSS, FIRST, Shapes, fault
from scoft_hpc.models.components import ModelComponents

SHRINK = 100


@pytest.fixture(scope="module")
def shapes(small: ModelComponents) -> Shapes:
    return {name: tuple(tensor.shape) for name, tensor in checkpoint(small, Architecture.sd1).items()}


def test_a_whole_one(shapes: Shapes) -> None:
    assert fault(shapes, Architecture.sd1, SHRINK) is None


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("conditioner.embedders.1.model.ln_final.bias", "Stable Diffusion XL"),
        ("model.diffusion_model.joint_blocks.0.context_block.mlp.fc1.bias", "Stable Diffusion 3"),
        ("model.diffusion_model.double_blocks.0.img_attn.qkv.bias", "FLUX"),
        ("lora_unet_mid_block_attentions_0_proj_in.alpha", "a LoRA"),
        ("control_model.input_hint_block.0.bias", "a ControlNet"),
        ("down_blocks.0.motion_modules.0.norm.bias", "AnimateDiff"),
    ],
)
def test_another_model(shapes: Shapes, name: str, model: str) -> None:
    assert f"it is {model} (it has {name})" in str(fault({**shapes, name: (1,)}, Architecture.sd1, SHRINK))


def test_other_sizes(shapes: Shapes) -> None:
    wide = {**shapes, CROSS: (320, 1024), FIRST: (320, 9, 3, 3)}
    message = str(fault(wide, Architecture.sd1))
    assert "its text width is 1024; sd1 has 768: try model.architecture=sd2_base or sd2" in message
    assert "its U-Net has 9 input channels, as models for inpainting do; expected 4" in message
    message = str(fault({**shapes, CROSS: (320, 2048)}, Architecture.sd1))
    assert "its text width is 2048; sd1 has 768" in message
    assert "its U-Net is 32 wide; sd1 has 320" in message
    message = str(fault(shapes, Architecture.sd2, SHRINK))
    assert "no text encoder of model.architecture=sd2 (one of sd1 found)" in message


def test_parts(shapes: Shapes) -> None:
    def without(start: str) -> str:
        remaining = {name: shape for name, shape in shapes.items() if not name.startswith(start)}
        return str(fault(remaining, Architecture.sd1, SHRINK))

    assert "it has no VAE (first_stage_model.* or vae.*)" in without("first_stage_model.")
    assert "it has no text encoder of model.architecture=sd1 (none found)" in without("cond_stage_model.")
    assert "it has no U-Net in the original layout" in without("model.diffusion_model.")
    assert "give the folder that has model_index.json" in str(
        fault({"conv_in.bias": (320,)}, Architecture.sd1)
    )


def _fault(path: Path, **settings: str) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(Model(path=str(path), shrink=SHRINK, **settings))
    return str(caught.value)


def test_a_file_is_refused_before_it_is_read(small: ModelComponents, saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file(checkpoint(small, Architecture.sd1), file)
    tokenizer = saved / "tokenizer"
    model = resolve(Model(path=str(file), shrink=SHRINK, tokenizer=str(tokenizer)))
    assert (model.path, model.tokenizer) == (str(file), str(tokenizer))
    assert "model.tokenizer=openai/clip-vit-large-patch14: neither a folder here nor" in _fault(file)
    assert "tokenizer_config.json is missing" in _fault(file, tokenizer=str(tmp_path))
    (tmp_path / "tokenizer_config.json").write_text("{}")
    assert "it has neither tokenizer.json nor vocab.json with merges.txt" in _fault(
        file, tokenizer=str(tmp_path)
    )
    file.write_bytes(file.read_bytes()[:-1])
    assert "half-downloaded" in _fault(file)
    save_file({"model.diffusion_model.double_blocks.0.bias": torch.zeros(1)}, file)
    assert "cannot be used as model.architecture=sd1: it is FLUX" in _fault(file)
    other = tmp_path / "model.gguf"
    other.touch()
    assert "is no checkpoint; expected .safetensors" in _fault(other)


def test_the_digest_is_of_all_that_is_read(small: ModelComponents, saved: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    tensors = checkpoint(small, Architecture.sd1)
    save_file(tensors, file)
    model = Model(path=str(file), shrink=SHRINK, tokenizer=str(saved / "tokenizer"))
    before = resolve(model).digest
    tensors[FIRST] = tensors[FIRST] + 1
    save_file(tensors, file)
    after = resolve(model).digest
    assert before != after
    tokenizer = tmp_path / "tokenizer"
    tokenizer.mkdir()
    for path in (saved / "tokenizer").iterdir():
        (tokenizer / path.name).write_text(path.read_text() + " ")
    assert resolve(Model(path=str(file), shrink=SHRINK, tokenizer=str(tokenizer))).digest != after
