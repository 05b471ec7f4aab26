"""The same networks from a folder, pickles, shards and single files, in every precision: equal outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import tiny
from models.original import checkpoint
from scoft_hpc.config.schema import Architecture, Lora, Model, Precision
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints.base_model import resolve
from scoft_hpc.models import random_weights
from scoft_hpc.models.components import ModelComponents
from scoft_hpc.models.families.stable_diffusion import StableDiffusion, load
from scoft_hpc.models.sampler import sample

SHRINK = 100
FIRST = [-0.15312080085277557, -0.06325165927410126, -0.053954124450683594]
CPU = torch.device("cpu")
TEXTS = ["A house in Korea", ""]


def _load(path: str | Path, **settings: Any) -> StableDiffusion:
    return load(resolve(Model(path=str(path), **settings)), CPU)


@torch.no_grad()
def _outputs(base: StableDiffusion) -> list[Tensor]:
    rng = torch.Generator().manual_seed(0)
    z, x = torch.randn(2, 4, 16, 16, generator=rng), torch.rand(2, 3, 32, 32, generator=rng) * 2 - 1
    text = base.encode_text(TEXTS)
    return [
        text.tensors["states"],
        base.predict(z, torch.tensor([3, 900]), text),
        base.decode(z),
        base.encode_images(x),
    ]


def _assert_equal(model: StableDiffusion, other: StableDiffusion) -> None:
    torch.testing.assert_close(_outputs(model), _outputs(other), rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def network() -> StableDiffusion:
    """The small model as `model.path=random` makes it."""
    return _load("random", shrink=SHRINK)


def test_random_weights_are_the_same_each_time_and_alive(network: StableDiffusion) -> None:
    _assert_equal(_load("random", shrink=SHRINK), network)
    text, prediction, image, moments = _outputs(network)
    assert text.shape == (2, 77, 64)
    assert (text[0] - text[1]).abs().mean() > 0.1
    for output in (prediction, image, moments):
        assert 0.01 < output.std() < 10
    # Of this recipe, on any machine: a change of them is another model, with another architecture.RECIPE.
    first = network.unet.conv_in.weight.flatten()[:3].tolist()
    assert first == pytest.approx(FIRST, abs=0)


def test_a_folder_in_the_layout_of_the_hub(network: StableDiffusion, saved: Path) -> None:
    loaded = _load(saved)
    _assert_equal(loaded, network)
    assert not loaded.process.velocity
    assert not any(weight.requires_grad for weight in loaded.unet.parameters())


@pytest.mark.slow
def test_a_folder_in_pickle_form_and_in_shards(
    network: StableDiffusion, saved: Path, small: ModelComponents, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "sd"))
    for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "pytorch_model")):
        next((folder / part).glob("*.safetensors")).unlink()
        torch.save(getattr(small, part).state_dict(), folder / part / f"{name}.bin")
    next((folder / "vae").glob("*.safetensors")).unlink()
    small.vae.save_pretrained(folder / "vae", max_shard_size="1MB")
    assert len(list((folder / "vae").glob("*.safetensors"))) > 1
    with pytest.raises(ConfigError, match="is refused"):
        _load(folder)
    _assert_equal(_load(folder, pickle=True), network)


def test_a_folder_that_lacks_tensors_or_has_others(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "sd"))
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    weight = tensors.pop("conv_in.weight")
    save_file(tensors, file, {"format": "pt"})
    with pytest.raises(
        ConfigError, match=r"UNet2DConditionModel: 1 of its weights are not .* as conv_in\.weight"
    ):
        _load(folder)
    save_file({**tensors, "conv_in.weight": weight[:, :3].contiguous()}, file, {"format": "pt"})
    with pytest.raises(ConfigError, match="unet cannot be loaded as a UNet2DConditionModel"):
        _load(folder)


def test_v_prediction_is_read_from_the_folder(saved: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(saved, tmp_path / "sd"))
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prediction_type": "v_prediction"}))
    assert _load(folder).process.velocity


@pytest.mark.slow
def test_the_noise_process_is_read_from_the_folder(saved: Path, tmp_path: Path) -> None:
    """Another number of timesteps and zero terminal SNR, down to finite samples."""
    folder = Path(shutil.copytree(saved, tmp_path / "sd"))
    path = folder / "scheduler" / "scheduler_config.json"
    scheduler_config = {
        "num_train_timesteps": 100,
        "prediction_type": "v_prediction",
        "rescale_betas_zero_snr": True,
    }
    path.write_text(json.dumps(json.loads(path.read_text()) | scheduler_config))
    loaded = _load(folder)
    assert len(loaded.process.abar) == 100
    assert loaded.process.abar[-1] == 0
    text, noise = loaded.encode_text(TEXTS), torch.randn(2, 4, 4, 4)
    assert sample(loaded, text, text[1:], noise, steps=99, guidance=2.0).isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("architecture", list(Architecture))
def test_a_single_file(architecture: Architecture, saved: Path, tmp_path: Path) -> None:
    settings = {"architecture": architecture, "shrink": SHRINK}
    parts = random_weights.build(architecture, SHRINK, torch.float32)
    file = tmp_path / "model.safetensors"
    save_file(checkpoint(parts, architecture), file)
    loaded = _load(file, tokenizer=str(saved / "tokenizer"), **settings)
    _assert_equal(loaded, _load("random", **settings))
    assert loaded.process.velocity == (architecture is Architecture.sd2)


def test_a_single_file_in_pickle_form(
    network: StableDiffusion, small: ModelComponents, saved: Path, tmp_path: Path
) -> None:
    file = tmp_path / "model.ckpt"
    torch.save({"state_dict": checkpoint(small, Architecture.sd1)}, file)
    settings: dict[str, Any] = {"shrink": SHRINK, "tokenizer": str(saved / "tokenizer")}
    with pytest.raises(ConfigError, match=r"is refused; use safetensors, or set model\.pickle=true"):
        _load(file, **settings)
    _assert_equal(_load(file, pickle=True, **settings), network)
    with pytest.raises(ConfigError, match=r"cannot be read as model\.architecture=sd2_base"):
        _load(file, pickle=True, architecture=Architecture.sd2_base, **settings)


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "near"), [(Precision.fp16, 5e-3), (Precision.bf16, 5e-2)])
def test_reduced_precision(network: StableDiffusion, saved: Path, precision: Precision, near: float) -> None:
    """The weights lie in it; what comes out is fp32, near to what fp32 gives, and so is the gradient of an adapter."""
    loaded = _load(saved, precision=precision)
    assert {p.dtype for n in (loaded.unet, loaded.vae, loaded.text_encoder) for p in n.parameters()} == {
        loaded.dtype
    }
    for got, exact in zip(_outputs(loaded), _outputs(network), strict=True):
        assert got.dtype == torch.float32
        assert (got - exact).norm() < near * exact.norm()
    text, noise = (
        loaded.encode_text(TEXTS),
        torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1)),
    )
    images = sample(loaded, text, text[1:], noise, steps=3, guidance=2.0)
    assert images.isfinite().all()
    assert images.dtype == torch.float32
    loaded.adapt(1, Lora(4, None, ("to_q",)))
    loaded.lora.weights += 0.01
    prediction = loaded.predict(noise, torch.tensor([3, 900]), text, torch.tensor([0, 0]))
    with loaded.lora.collecting():
        prediction.square().mean().backward()
    assert loaded.lora.gradients.dtype == torch.float32
    assert loaded.lora.gradients.isfinite().all()
    assert loaded.lora.gradients.abs().max() > 0


def test_the_vaes_shift_is_honoured() -> None:
    """Latents are (z - shift) scale, and decoding undoes both."""
    plain, shifted = tiny.base(), tiny.base()
    shifted.vae.register_to_config(shift_factor=0.3)
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    one, two = plain.encode_images(x), shifted.encode_images(x)
    torch.testing.assert_close(two[:, 0], one[:, 0] - 0.3 * 0.2)
    assert torch.equal(two[:, 1], one[:, 1])
    with torch.no_grad():
        torch.testing.assert_close(shifted.decode(two[:, 0]), plain.decode(one[:, 0]))


def test_attention_is_torchs_own(network: StableDiffusion) -> None:
    assert {type(processor).__name__ for processor in network.unet.attn_processors.values()} == {
        "AttnProcessor2_0"
    }
    assert network.text_encoder.config._attn_implementation == "sdpa"


@pytest.mark.slow
def test_the_adapted_unet_is_one_graph_for_torch_compile() -> None:
    """What `model.compile` gives the compiler is one graph, and computes the same."""
    outputs = []
    for compiled in (False, True):
        base = tiny.base()
        if compiled:
            base.unet.compile(backend="eager", fullgraph=True)
        base.adapt(2, Lora(4, None, ("to_q", "to_out.0")))
        base.lora.weights += 0.01
        rng = torch.Generator().manual_seed(0)
        z, text = (
            torch.randn(2, 4, 8, 8, generator=rng),
            tiny.states(torch.randn(2, 5, tiny.TEXT, generator=rng)),
        )
        prediction = base.predict(z, torch.tensor([3, 900]), text, torch.tensor([1, 0]))
        with base.lora.collecting():
            prediction.square().mean().backward()
        outputs.append((prediction.detach(), base.lora.gradients))
    torch.testing.assert_close(outputs[1], outputs[0])
