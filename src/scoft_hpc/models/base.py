"""The frozen base model: VAE, text encoder and U-Net of a Stable Diffusion folder, shared by all lanes of a pack."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from scoft_hpc.config.schema import Precision
from scoft_hpc.diffusion.schedule import Schedule
from scoft_hpc.models.lora import LoraStack


@dataclass
class Base:
    """The networks, frozen, and the schedule they were trained with.

    Attributes:
        lora: the adapters in the U-Net; None until a pack puts them there.
    """

    vae: Any
    unet: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: DDPMScheduler
    schedule: Schedule
    device: torch.device
    precision: Precision = Precision.fp32
    lora: LoraStack | None = None

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Text states [N, T, D]; longer texts are cut at the tokenizer's length."""
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return cast(Tensor, self.text_encoder(tokens.input_ids.to(self.device))[0])

    @torch.no_grad()
    def moments(self, x: Tensor) -> Tensor:
        """Mean and standard deviation of the scaled latents of images x [N, 3, H, W] in [-1, 1]: [N, 2, C, h, w]."""
        with self._autocast():
            posterior = self.vae.encode(x).latent_dist
        moments = torch.stack([posterior.mean, posterior.std], 1).float()
        return moments * float(self.vae.config.scaling_factor)

    def decode(self, z_0: Tensor) -> Tensor:
        """Images [N, 3, H, W], about in [-1, 1] and not clamped, of scaled latents [N, C, h, w]."""
        with self._autocast():
            return cast(
                Tensor, self.vae.decode(z_0 / self.vae.config.scaling_factor, return_dict=False)[0].float()
            )

    def predict(self, z_t: Tensor, t: Tensor, text: Tensor, lane: Tensor | None = None) -> Tensor:
        """The U-Net's output [N, C, h, w]; row i through the adapter lane[i], or the base alone where lane is None."""
        with self._autocast(), self.lora.rows(lane) if self.lora else contextlib.nullcontext():
            return cast(Tensor, self.unet(z_t, t, text, return_dict=False)[0].float())

    def _autocast(self) -> torch.autocast:
        reduced = self.precision is not Precision.fp32
        return torch.autocast(self.device.type, torch.bfloat16, enabled=reduced)


def load_base(folder: Path, device: torch.device, precision: Precision = Precision.fp32) -> Base:
    """Read a folder in diffusers' layout; safetensors only, nothing is downloaded."""
    for library in (diffusers_logging, transformers_logging):  # a job's log is for what concerns the run
        library.set_verbosity_error()
        library.disable_progress_bar()
    kwargs: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32, **kwargs)
    unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32, **kwargs)
    text_encoder = CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32, **kwargs)
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    for network in (vae, unet, text_encoder):
        network.requires_grad_(False).eval().to(device)
    scheduler = DDPMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
    schedule = Schedule(
        scheduler.alphas_cumprod.double().to(device),
        velocity=scheduler.config["prediction_type"] == "v_prediction",
    )
    return Base(vae, unet, text_encoder, tokenizer, scheduler, schedule, device, precision)
