"""Pre-training of the toy world's U-Net and text encoder on the web distribution."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from torch.nn import functional

from toy_pretraining.autoencoder import moments
from toy_pretraining.captions import WIDTH, new_text_encoder, new_tokenizer, token_ids
from toy_pretraining.web_dataset import ImageDataset, batches

log = logging.getLogger(__name__)

BATCH, LEARNING_RATE, CAPTION_DROPOUT, EMA_DECAY = 128, 1.5e-3, 0.1, 0.998


def new_scheduler() -> Any:
    """Stable Diffusion's noise schedule, with DDPM steps."""
    return DDPMScheduler.from_config(
        {
            "num_train_timesteps": 1000,
            "beta_start": 0.00085,
            "beta_end": 0.012,
            "beta_schedule": "scaled_linear",
            "prediction_type": "epsilon",
            "clip_sample": False,
            "steps_offset": 1,
            "set_alpha_to_one": False,  # unused by DDPM; kept for schedulers made from this one's config
        }
    )


def new_unet() -> Any:
    """3.4 M parameters, most of them in the levels of 4 x 4 and 2 x 2, where they are cheap."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=(32, 64, 112),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def train_denoiser(vae: Any, pictures: ImageDataset, steps: int, seed: int) -> Any:
    """A StableDiffusionPipeline with `vae` and with a U-Net (its EMA) and text encoder trained on the pictures."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    scheduler, unet, tokenizer = new_scheduler(), new_unet().train(), new_tokenizer()
    text_encoder = new_text_encoder(tokenizer).train()
    parameters = [*unet.parameters(), *text_encoder.parameters()]
    average = EMAModel(parameters, decay=EMA_DECAY, use_ema_warmup=True, power=0.75)

    mean, std = (vae.config.scaling_factor * moment for moment in moments(vae, pictures, len(pictures)))
    distinct = sorted({"", *pictures.captions})
    ids = token_ids(tokenizer, distinct)
    caption = torch.tensor([distinct.index(words) for words in pictures.captions])

    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.05
    )
    running, start = 1.0, time.monotonic()
    for step, index in enumerate(batches(len(pictures), BATCH, steps, generator)):
        z_0 = mean[index] + std[index] * torch.randn(mean[index].shape, generator=generator)
        eps = torch.randn(z_0.shape, generator=generator)
        t = torch.randint(0, scheduler.config.num_train_timesteps, (BATCH,), generator=generator)
        dropped = torch.rand(BATCH, generator=generator) < CAPTION_DROPOUT
        used, where = torch.unique(torch.where(dropped, 0, caption[index]), return_inverse=True)
        context = text_encoder(ids[used]).last_hidden_state[where]
        loss = functional.mse_loss(unet(scheduler.add_noise(z_0, eps, t), t, context).sample, eps)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        average.step(parameters)
        running += 0.01 * (loss.item() - running)
        if step % 100 == 0 or step == steps - 1:
            log.info("denoiser %d/%d loss %.4f (%.0f s)", step, steps, running, time.monotonic() - start)
    average.copy_to(parameters)
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder.eval().requires_grad_(False),
        tokenizer=tokenizer,
        unet=unet.eval().requires_grad_(False),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def save_base(pipeline: Any, folder: Path) -> None:
    """Write the pipeline as fp16 safetensors under plain names, readable by all, without a path of this machine."""
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    for path in folder.rglob("*.safetensors"):
        path.chmod(0o644)
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)
        path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
