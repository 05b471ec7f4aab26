"""The configs that ship: the public sizes, and what shrinking leaves of them."""

from __future__ import annotations

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from scoft_hpc.config.compose import compose
from scoft_hpc.config.schema import Architecture
from scoft_hpc.inputs.checkpoints.architecture import configs


def _unet(architecture: Architecture, shrink: int = 1) -> UNet2DConditionModel:
    with init_empty_weights():
        return UNet2DConditionModel.from_config(configs(architecture, shrink)["unet"])


@pytest.mark.parametrize(
    ("architecture", "unet", "text", "gflop"),
    [
        (Architecture.sd1, 859_520_964, 123_060_480, 803),
        (Architecture.sd2_base, 865_910_724, 340_387_840, 804),
        (Architecture.sd2, 865_910_724, 340_387_840, 2149),
    ],
)
def test_full_size(architecture: Architecture, unet: int, text: int, gflop: int) -> None:
    """The numbers of parameters that the public models have, and what `model.gflop` says of them."""
    config = configs(architecture)
    network = _unet(architecture)
    with init_empty_weights():
        vae = AutoencoderKL.from_config(config["vae"])
        text_encoder = CLIPTextModel(CLIPTextConfig(**config["text_encoder"]))
    sizes = [sum(p.numel() for p in n.parameters()) for n in (network, vae, text_encoder)]
    assert sizes == [unet, 83_653_863, text]
    side = config["unet"]["sample_size"]
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counted:
        states = torch.empty(1, 77, config["unet"]["cross_attention_dim"])
        network(torch.empty(1, 4, side, side), torch.empty(1), states)
    assert counted.get_total_flops() / 1e9 == pytest.approx(gflop, abs=1)


@pytest.mark.parametrize("name", ["sd14", "sd15", "sd21", "sd14_random"])
def test_the_models_on_offer(name: str) -> None:
    """Each one's resolution is the one that its architecture was trained at."""
    model = compose("train", [f"model={name}"]).model
    unet = configs(model.architecture)["unet"]
    assert model.name == name
    assert model.resolution == 8 * unet["sample_size"]
    assert model.gflop == {512: 803, 768: 2149}[model.resolution]
    velocity = configs(model.architecture)["scheduler"]["prediction_type"] == "v_prediction"
    assert velocity == (name == "sd21")


@pytest.mark.parametrize("architecture", list(Architecture))
@pytest.mark.parametrize("shrink", [2, 3, 10, 1000])
def test_shrunk(architecture: Architecture, shrink: int) -> None:
    """Smaller by about the square, and what must fit together does."""
    config, whole = configs(architecture, shrink), configs(architecture)
    unet, text = config["unet"], config["text_encoder"]
    assert unet["cross_attention_dim"] == text["hidden_size"]
    assert all(
        width % 32 == 0 for width in (*unet["block_out_channels"], *config["vae"]["block_out_channels"])
    )
    assert unet["layers_per_block"] == whole["unet"]["layers_per_block"]
    assert text["num_hidden_layers"] == whole["text_encoder"]["num_hidden_layers"]
    assert text["hidden_size"] % text["num_attention_heads"] == 0
    small, large = (sum(p.numel() for p in _unet(architecture, s).parameters()) for s in (shrink, 1))
    assert small < 1.2 * large / min(shrink, 10) ** 2
