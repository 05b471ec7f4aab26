"""Tiny random networks of the real classes, for tests of the mathematics: a base that costs milliseconds."""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

from scoft_hpc.diffusion.schedule import Schedule
from scoft_hpc.models.base import Base

TEXT = 16


def unet(seed: int = 0) -> UNet2DConditionModel:
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(16, 32),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=TEXT,
        attention_head_dim=8,
        norm_num_groups=8,
    )


def vae(seed: int = 1) -> AutoencoderKL:
    torch.manual_seed(seed)
    return AutoencoderKL(
        block_out_channels=(8, 8, 16),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=32,
        scaling_factor=0.2,
    )


def base(seed: int = 0, prediction_type: str = "epsilon") -> Base:
    """Frozen, without a text encoder: tests give text states of width TEXT."""
    scheduler = DDPMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        prediction_type=prediction_type,
    )
    networks = unet(seed).eval().requires_grad_(False), vae(seed + 1).eval().requires_grad_(False)
    schedule = Schedule(scheduler.alphas_cumprod.double(), velocity=prediction_type == "v_prediction")
    return Base(networks[1], networks[0], None, None, scheduler, schedule, torch.device("cpu"))
