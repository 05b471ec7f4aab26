"""Pre-training of the toy world's autoencoder, of Stable Diffusion's class: 64 x 64 x 3 -> 8 x 8 x 4."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional

from toy_pretraining.web_dataset import ImageDataset, batches

log = logging.getLogger(__name__)

BATCH, LEARNING_RATE, KL_WEIGHT = 32, 2e-3, 1e-6


def new_autoencoder() -> Any:
    widths = (16, 24, 48, 80)
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        sample_size=64,
        block_out_channels=widths,
        layers_per_block=1,
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
    )


def train_autoencoder(pictures: ImageDataset, steps: int, seed: int) -> Any:
    """An AutoencoderKL trained by squared error plus a weak KL term; its scaling_factor is 1 / the latents' std."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    vae = new_autoencoder().train()
    optimizer = torch.optim.AdamW(vae.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    for step, index in enumerate(batches(len(pictures), BATCH, steps, generator)):
        x = pictures.x(index)
        posterior = vae.encode(x).latent_dist
        x_hat = vae.decode(posterior.sample(generator)).sample
        loss = functional.mse_loss(x_hat, x) + KL_WEIGHT * posterior.kl().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            log.info("autoencoder %d/%d loss %.5f", step, steps, loss.item())
    vae.eval().requires_grad_(False)
    mean, std = moments(vae, pictures, count=1024)
    latents = mean + std * torch.randn(mean.shape, generator=generator)
    vae.register_to_config(scaling_factor=1.0 / latents.std().item())
    return vae


def save_autoencoder(vae: Any, folder: Path) -> None:
    """Write the autoencoder as fp16 safetensors."""
    vae.to(torch.float16).save_pretrained(folder, safe_serialization=True)


def load_autoencoder(folder: Path) -> Any:
    """The autoencoder as it is stored, in fp32: all that follows is trained on what is shipped."""
    return AutoencoderKL.from_pretrained(folder).to(torch.float32).eval().requires_grad_(False)


@torch.no_grad()
def moments(vae: Any, pictures: ImageDataset, count: int) -> tuple[Tensor, Tensor]:
    """Mean and std [count, 4, 8, 8] of the posterior of the first `count` pictures, unscaled."""
    parts = [
        vae.encode(pictures.x(slice(start, min(start + 128, count)))).latent_dist
        for start in range(0, count, 128)
    ]
    return torch.cat([part.mean for part in parts]), torch.cat([part.std for part in parts])


@torch.no_grad()
def reconstructions(vae: Any, pictures: ImageDataset) -> Tensor:
    """The pictures through encoder (mode) and decoder, [N, 3, 64, 64] clamped to [-1, 1]."""
    parts = [
        vae.decode(vae.encode(pictures.x(slice(start, start + 128))).latent_dist.mode()).sample
        for start in range(0, len(pictures), 128)
    ]
    return torch.cat(parts).clamp(-1, 1)
