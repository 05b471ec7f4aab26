"""A tiny base of the real classes with fixed random weights, and one seed's worth of explicit inputs.

Nothing is drawn inside the loop under test: every tensor that the mathematics needs (latents, noise, text
states, images, the rollout's noise) is made here, so that two implementations can be given the very same.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from peft import LoraConfig
from torch import Tensor, nn

CALLS = 20  # U-Net calls of a full rollout
TEXT_LENGTH, TEXT_WIDTH = 7, 16
LATENT, IMAGE = (4, 8, 8), (3, 32, 32)
TARGETS = ("to_q", "to_k", "to_v", "to_out.0")


@dataclass(frozen=True)
class Base:
    """The frozen parts, and the schedule."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    scheduler: DDPMScheduler


@dataclass(frozen=True)
class Micro:
    """Everything that one micro-step (batch 1) consumes."""

    t: int
    z_start: Tensor  # [1, 4, 8, 8] sampled from the VAE's moments and scaled
    eps: Tensor  # [1, 4, 8, 8]
    text: Tensor  # [1, 7, 16] states of c
    blip_text: Tensor  # [1, 7, 16] states of c_blip
    null_text: Tensor  # [1, 7, 16] states of the empty caption
    x_pos: Tensor  # [1, 3, 32, 32] in [-1, 1]
    x_neg: tuple[Tensor, ...]  # each [1, 3, 32, 32]
    rollout_eps: Tensor  # [20, 1, 4, 8, 8] one noise a rollout step; the last step (t = 0) uses none
    random_call: float  # in [0, 1): which call keeps its graph in mode `random`, as a fraction of the calls


def base(prediction_type: str = "epsilon", seed: int = 0, dtype: torch.dtype = torch.float32) -> Base:
    """A 0.14 M parameter U-Net on 8x8x4 latents, a 32-pixel VAE and Stable Diffusion's betas, unclipped."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel(
            sample_size=LATENT[1],
            block_out_channels=(16, 32),
            layers_per_block=1,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            mid_block_type=None,
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=4,
            norm_num_groups=8,
        )
        vae = AutoencoderKL(
            block_out_channels=(8, 8, 16),
            down_block_types=("DownEncoderBlock2D",) * 3,
            up_block_types=("UpDecoderBlock2D",) * 3,
            latent_channels=LATENT[0],
            norm_num_groups=4,
            sample_size=IMAGE[1],
        )
    scheduler = DDPMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        prediction_type=prediction_type,
    )
    # Outputs of the size that trained networks have: predictions near 1, images that fill [-1, 1].
    with torch.no_grad():
        unet.conv_out.weight *= 3
        vae.decoder.conv_out.weight *= 4
    for network in (unet, vae):
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.requires_grad_(False).data = tensor.data.to(dtype)
    return Base(unet, vae, scheduler)


def with_lora(base: Base, rank: int, alpha: float, seed: int) -> UNet2DConditionModel:
    """A copy of the U-Net with peft's LoRA on its attention. B is not 0, so A has a gradient at once."""
    unet = copy.deepcopy(base.unet)
    unet.add_adapter(
        LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(TARGETS), init_lora_weights=False)
    )
    generator = torch.Generator().manual_seed(seed)
    for _, down, up in lora_pairs(unet):
        with torch.no_grad():
            down.copy_(torch.randn(down.shape, generator=generator) / math.sqrt(down.shape[1]))
            up.copy_(torch.randn(up.shape, generator=generator) * 0.1 / math.sqrt(rank))
    return unet


def lora_pairs(unet: nn.Module) -> list[tuple[str, nn.Parameter, nn.Parameter]]:
    """(module name, A [r, in], B [out, r]) of every adapted linear layer."""
    return [
        (name, module.lora_A["default"].weight, module.lora_B["default"].weight)
        for name, module in unet.named_modules()
        if hasattr(module, "lora_A")
    ]


def micros(
    seed: int, timesteps: Sequence[int], negatives: int = 2, dtype: torch.dtype = torch.float32
) -> list[Micro]:
    """One micro-step a timestep. The null text states are the same whatever the seed, as in a real pack."""
    g = torch.Generator().manual_seed(seed)
    null = torch.randn(1, TEXT_LENGTH, TEXT_WIDTH, generator=torch.Generator().manual_seed(0))

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=g).to(dtype)

    def image() -> Tensor:
        return (torch.rand(1, *IMAGE, generator=g) * 2 - 1).to(dtype)

    return [
        Micro(
            t=t,
            z_start=normal(1, *LATENT),
            eps=normal(1, *LATENT),
            text=normal(1, TEXT_LENGTH, TEXT_WIDTH),
            blip_text=normal(1, TEXT_LENGTH, TEXT_WIDTH),
            null_text=null.to(dtype),
            x_pos=image(),
            x_neg=tuple(image() for _ in range(negatives)),
            rollout_eps=normal(CALLS, 1, *LATENT),
            random_call=float(torch.rand((), generator=g)),
        )
        for t in timesteps
    ]


class Distance(nn.Module):
    """A small frozen feature distance: images [B, 3, H, W] x 2 -> [B], mean squared difference of features.

    `gain` scales the features, so that the term's gradient is of the size of L_LDM's and no fault hides.
    """

    def __init__(self, seed: int, gain: float = 60.0, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.gain = gain
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.SiLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.Tanh())
        self.requires_grad_(False).to(dtype)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.gain * (self.net(x) - self.net(y))).square().flatten(1).mean(1)
