"""The configs that ship: the public sizes, and what shrinking leaves of them."""

from __future__ import annotations

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from scoft_hpc.config.compose import compose
from scoft_hpc.config.schema import Architecture, Model
from scoft_hpc.inputs.checkpoints.architecture import configs
from scoft_hpc.inputs.model_costs import COSTS, denoiser_gflop


def _unet(architecture: Architecture, shrink: int = 1) -> UNet2DConditionModel:
    with init_empty_weights():
        return UNet2DConditionModel.from_config(configs(architecture, shrink)["unet"])


@pytest.mark.parametrize(
    ("architecture", "unet", "text"),
    [
        (Architecture.sd1, 859_520_964, 123_060_480),
        (Architecture.sd2_base, 865_910_724, 340_387_840),
        (Architecture.sd2, 865_910_724, 340_387_840),
    ],
)
def test_full_size(architecture: Architecture, unet: int, text: int) -> None:
    """The numbers of parameters that the public models have, and those of the table of costs."""
    config = configs(architecture)
    network = _unet(architecture)
    with init_empty_weights():
        vae = AutoencoderKL.from_config(config["vae"])
        text_encoder = CLIPTextModel(CLIPTextConfig(**config["text_encoder"]))
    sizes = [sum(p.numel() for p in n.parameters()) for n in (network, vae, text_encoder)]
    assert sizes == [unet, 83_653_863, text]
    costs = COSTS[architecture]
    assert costs.parameters == pytest.approx(sum(sizes), rel=1e-4)
    assert costs.latent_channels == config["unet"]["in_channels"] == config["vae"]["latent_channels"]
    assert costs.text_elements == 77 * config["unet"]["cross_attention_dim"]
    assert costs.resolution == costs.downscale * config["unet"]["sample_size"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "shrink", "resolution", "off"),
    [
        (Architecture.sd1, 1, 256, 0.02),
        (Architecture.sd1, 1, 768, 0.01),
        (Architecture.sd2, 1, 512, 0.01),
        (Architecture.sd2_base, 1, 768, 0.01),
        (Architecture.sd1, 2, 512, 0.15),  # attention shrinks by the factor, all else by its square
        (Architecture.sd1, 10, 128, 0.2),
    ],
)
def test_a_pass_costs_as_counted_at_other_sizes(
    architecture: Architecture, shrink: int, resolution: int, off: float
) -> None:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counted:
        network = UNet2DConditionModel.from_config(configs(architecture, shrink)["unet"])
        side = resolution // 8
        states = torch.empty(1, 77, network.config.cross_attention_dim)
        network(torch.empty(1, 4, side, side), torch.empty(1), states)
    model = Model(architecture=architecture, shrink=shrink, resolution=resolution)
    assert denoiser_gflop(model) == pytest.approx(counted.get_total_flops() / 1e9, rel=off)


@pytest.mark.parametrize("name", ["sd14", "sd15", "sd21", "sd14_random"])
def test_the_models_on_offer(name: str) -> None:
    """Each one's resolution is the one that its architecture was trained at."""
    model = compose("train", [f"model={name}"]).model
    unet = configs(model.architecture)["unet"]
    assert model.name == name
    assert model.resolution == 8 * unet["sample_size"]
    assert denoiser_gflop(model) == {512: 803, 768: 2149}[model.resolution]
    velocity = configs(model.architecture)["scheduler"]["prediction_type"] == "v_prediction"
    assert velocity == (name == "sd21")


@pytest.mark.slow
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
