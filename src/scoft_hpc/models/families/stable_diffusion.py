"""Stable Diffusion 1.x and 2.x, and the toy world's model of the same classes."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

import torch
from diffusers import AutoencoderKL, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from scoft_hpc.config.schema import Lora, Model
from scoft_hpc.diffusion.betas import alphas_cumprod
from scoft_hpc.diffusion.ddpm import Ddpm
from scoft_hpc.inputs.checkpoints import base_model
from scoft_hpc.models import random_weights, single_file
from scoft_hpc.models.components import ModelComponents
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DTYPES
from scoft_hpc.models.guidance import Guidance
from scoft_hpc.models.lora import LoraStack
from scoft_hpc.models.lora_file import AdapterFormat
from scoft_hpc.models.network import load_network

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
"""The U-Net's attention projections, which the reference scripts adapt."""

KOHYA_VERSIONS = {768: "sd_v1", 1024: "sd_v2"}
"""sd-scripts' name of a base, by the width of its text states."""


class DpmSolver:
    """DPM-Solver++ (Lu et al. 2022) through diffusers, with the settings of the model's own scheduler."""

    def __init__(self, config: Any, steps: int, device: torch.device) -> None:
        self._solver = DPMSolverMultistepScheduler.from_config(config)
        self._solver.set_timesteps(steps, device=device)
        self.times: Tensor = self._solver.timesteps

    def add_noise(self, z_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        return cast(Tensor, self._solver.add_noise(z_0, eps, t.expand(len(z_0))))

    def step(self, out: Tensor, t: Tensor, z: Tensor) -> Tensor:
        return cast(Tensor, self._solver.step(out, t, z, return_dict=False)[0])


@dataclass
class StableDiffusion:
    """The networks, frozen, and the noise process they were trained with: a `DiffusionModel`.

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

    def latent_shape(self, resolution: int) -> tuple[int, int, int]:
        """(C, h, w): each level of the VAE but the first halves the side."""
        config = self.vae.config
        side = resolution // 2 ** (len(config.block_out_channels) - 1)
        return config.latent_channels, side, side

    @torch.no_grad()
    def encode_images(self, x: Tensor) -> Tensor:
        """Mean and standard deviation of the scaled latents of images x [N, 3, H, W] in [-1, 1]: [N, 2, C, h, w]."""
        posterior = self.vae.encode(x.to(self.dtype)).latent_dist
        std = (0.5 * posterior.logvar.float()).exp()
        mean = posterior.mean.float()
        if shift := self.vae.config.get("shift_factor"):
            mean = mean - shift
        return torch.stack([mean, std], 1) * float(self.vae.config.scaling_factor)

    def decode(self, z_0: Tensor) -> Tensor:
        """Images [N, 3, H, W], about in [-1, 1] and not clamped, of scaled latents [N, C, h, w]."""
        z = z_0 / self.vae.config.scaling_factor
        if shift := self.vae.config.get("shift_factor"):
            z = z + shift
        return cast(Tensor, self.vae.decode(z.to(self.dtype), return_dict=False)[0].float())

    def predict(
        self, z_t: Tensor, t: Tensor, conditioning: Conditioning, lane: Tensor | None = None
    ) -> Tensor:
        """The U-Net's output [N, C, h, w]; row i through the adapter lane[i], or the base alone where lane is None."""
        rows = None if lane is None else lane.to(self.device)
        with self.lora.rows(rows) if self.lora else contextlib.nullcontext():
            text = conditioning.tensors["states"].to(self.dtype)
            out = self.unet(z_t.to(self.dtype), t.to(self.device), text, return_dict=False)[0]
        return cast(Tensor, out.float())

    def sampler(self, steps: int) -> DpmSolver:
        """DPM-Solver++ with so many calls."""
        return DpmSolver(self.scheduler.config, steps, self.device)

    def adapt(self, lanes: int, lora: Lora) -> LoraStack:
        """Put adapters for so many lanes into the U-Net."""
        version = kohya_version(self.unet.config.cross_attention_dim, self.process.velocity)
        files = AdapterFormat("unet", "lora_unet", version)
        self.lora = LoraStack(self.unet, lanes, lora, files, TARGETS)
        return self.lora


def kohya_version(text_width: int, velocity: bool) -> str | None:
    """sd-scripts' name of the base, `sd_v1` or `sd_v2`, with `_v` for v-prediction; None for any other U-Net."""
    name = KOHYA_VERSIONS.get(text_width)
    return f"{name}_v" if name and velocity else name


def load(model: Model, device: torch.device) -> StableDiffusion:
    """The resolved model (`inputs.checkpoints.base_model`) on the device, in its precision.

    Raises:
        ConfigError: if the files lack tensors, have others than the architecture, or ask for another noise process.
    """
    dtype = DTYPES[model.precision]
    parts = _parts(model, dtype)
    for network in (parts.vae, parts.unet, parts.text_encoder):
        network.requires_grad_(False).eval().to(device)
    if device.type == "cuda":
        for network in (parts.vae, parts.unet):
            network.to(memory_format=torch.channels_last)
    if model.compile:
        parts.unet.compile()  # in place, at the first call: the adapters are in by then
    noise = base_model.scheduler(model)
    process = Ddpm(alphas_cumprod(noise), velocity=noise.prediction_type == "v_prediction")
    return StableDiffusion(*parts, process, device, dtype)


def _parts(model: Model, dtype: torch.dtype) -> ModelComponents:
    if model.path == base_model.RANDOM:
        return random_weights.build(model.architecture, model.shrink, dtype)
    path = Path(model.path)
    return single_file.load(model, dtype) if path.is_file() else _from_folder(path, dtype, model.pickle)


def _from_folder(folder: Path, dtype: torch.dtype, pickle: bool) -> ModelComponents:
    """A folder in diffusers' layout; of a network without safetensors, its pickle if that is allowed."""
    return ModelComponents(
        _network(AutoencoderKL, folder / "vae", pickle, torch_dtype=dtype),
        _network(UNet2DConditionModel, folder / "unet", pickle, torch_dtype=dtype),
        _network(CLIPTextModel, folder / "text_encoder", pickle, dtype=dtype),
        CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True),
        DDPMScheduler.from_pretrained(folder / "scheduler", local_files_only=True),
    )


def _network(kind: Any, folder: Path, pickle: bool, **settings: Any) -> Any:
    pickled = pickle and any(path.suffix == ".bin" for path in base_model.weight_files(folder))
    return load_network(kind, folder, use_safetensors=not pickled, **settings)
