"""The frozen base model: VAE, text encoder and U-Net of a Stable Diffusion, shared by all lanes of a pack.

The frozen networks lie in the precision's dtype. What goes in is cast to it and what comes out is fp32, so that the
solver, the losses and the adapters are fp32 in any case.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from scoft_hpc.config.schema import Model, Precision
from scoft_hpc.diffusion.ddpm import Ddpm
from scoft_hpc.inputs.checkpoints import base_model
from scoft_hpc.models import random, single_file
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.guidance import Guidance
from scoft_hpc.models.lora import LoraStack
from scoft_hpc.models.network import load_network
from scoft_hpc.models.parts import Parts

DTYPES = {Precision.fp32: torch.float32, Precision.fp16: torch.float16, Precision.bf16: torch.bfloat16}


@dataclass
class Base:
    """The networks, frozen, and the noise process they were trained with.

    Attributes:
        dtype: of the networks' weights.
        lora: the adapters in the U-Net; None until a pack puts them there.
    """

    vae: Any
    unet: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: DDPMScheduler
    process: Ddpm
    device: torch.device
    dtype: torch.dtype = torch.float32
    lora: LoraStack | None = None
    guidance: ClassVar[Guidance] = Guidance.classifier_free

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Conditioning:
        """Text states of N texts; longer ones are cut at the tokenizer's length."""
        tokens = self.tokenizer(
            list(texts),
            padding="max_length",
            max_length=self.tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        return Conditioning({"states": self.text_encoder(tokens.input_ids.to(self.device))[0].float()})

    @torch.no_grad()
    def moments(self, x: Tensor) -> Tensor:
        """Mean and standard deviation of the scaled latents of images x [N, 3, H, W] in [-1, 1]: [N, 2, C, h, w]."""
        posterior = self.vae.encode(x.to(self.dtype)).latent_dist
        std = (0.5 * posterior.logvar.float()).exp()
        return torch.stack([posterior.mean.float(), std], 1) * float(self.vae.config.scaling_factor)

    def decode(self, z_0: Tensor) -> Tensor:
        """Images [N, 3, H, W], about in [-1, 1] and not clamped, of scaled latents [N, C, h, w]."""
        z = (z_0 / self.vae.config.scaling_factor).to(self.dtype)
        return cast(Tensor, self.vae.decode(z, return_dict=False)[0].float())

    def predict(
        self, z_t: Tensor, t: Tensor, conditioning: Conditioning, lane: Tensor | None = None
    ) -> Tensor:
        """The U-Net's output [N, C, h, w]; row i through the adapter lane[i], or the base alone where lane is None."""
        rows = None if lane is None else lane.to(self.device)
        with self.lora.rows(rows) if self.lora else contextlib.nullcontext():
            text = conditioning.tensors["states"].to(self.dtype)
            out = self.unet(z_t.to(self.dtype), t.to(self.device), text, return_dict=False)[0]
        return cast(Tensor, out.float())


def load_base(model: Model, device: torch.device) -> Base:
    """The resolved model (`inputs.checkpoints.base_model`) on the device, in its precision; nothing is downloaded.

    Raises:
        ConfigError: if the files lack tensors, or have others than the architecture.
    """
    for library in (diffusers_logging, transformers_logging):  # a job's log is for what concerns the run
        library.set_verbosity_error()
        library.disable_progress_bar()
    dtype = DTYPES[model.precision]
    parts = _parts(model, dtype)
    for network in (parts.vae, parts.unet, parts.text_encoder):
        network.requires_grad_(False).eval().to(device)
    if device.type == "cuda":
        for network in (parts.vae, parts.unet):
            network.to(memory_format=torch.channels_last)
    if model.compile:
        parts.unet.compile()  # in place, at the first call: the adapters are in by then
    process = Ddpm(
        parts.scheduler.alphas_cumprod.double(),
        velocity=parts.scheduler.config["prediction_type"] == "v_prediction",
    )
    return Base(*parts, process, device, dtype)


def _parts(model: Model, dtype: torch.dtype) -> Parts:
    if model.path == base_model.RANDOM:
        return random.build(model.architecture, model.shrink, dtype)
    path = Path(model.path)
    return single_file.load(model, dtype) if path.is_file() else _from_folder(path, dtype, model.pickle)


def _from_folder(folder: Path, dtype: torch.dtype, pickle: bool) -> Parts:
    """A folder in diffusers' layout; of a network without safetensors, its pickle if that is allowed."""
    return Parts(
        _network(AutoencoderKL, folder / "vae", pickle, torch_dtype=dtype),
        _network(UNet2DConditionModel, folder / "unet", pickle, torch_dtype=dtype),
        _network(CLIPTextModel, folder / "text_encoder", pickle, dtype=dtype),
        CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
        DDPMScheduler.from_pretrained(folder / "scheduler", local_files_only=True),
    )


def _network(kind: Any, folder: Path, pickle: bool, **settings: Any) -> Any:
    pickled = pickle and any(path.suffix == ".bin" for path in base_model.weight_files(folder))
    return load_network(kind, folder, pickled=pickled, **settings)
