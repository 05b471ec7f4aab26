"""Networks of the full size without content: shapes go through them, numbers do not.

The weights lie on torch's `meta` device, where an operation costs nothing and yields the shape of its result. Training
itself is the real one, on real indices and timesteps; only what comes out of a network is zero.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import CLIPTextConfig, CLIPTextModel

from scoft_hpc.config.schema import Architecture, Lora, Objective, RunConfig, Train, Variant
from scoft_hpc.data.culture_cache import CachedCulture, Targets
from scoft_hpc.diffusion.ddpm import Ddpm
from scoft_hpc.inputs.checkpoints.architecture import configs
from scoft_hpc.models.components import PAD_TOKENS
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.families.stable_diffusion import StableDiffusion
from scoft_hpc.models.random_weights import tokenizer
from scoft_hpc.perceptual.toy import ToyDistance
from scoft_hpc.perceptual.vgg import VggDistance, vgg16_features
from scoft_hpc.training.lane import Lane
from scoft_hpc.training.objective import LaneObjective, NamedDistance

META = torch.device("meta")
SIZE = 512
PAIRS = 8


class _Enter(torch.autograd.Function):
    """A tensor's shape on `meta`; its gradient comes back as zeros."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.empty_like(x, device=META)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return torch.zeros(gradient.shape, dtype=gradient.dtype)


class _Leave(torch.autograd.Function):
    """Zeros of a shape on `meta`; their gradient goes back as a shape."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.zeros(x.shape, dtype=x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return torch.empty_like(gradient, device=META)


class HollowBase(StableDiffusion):
    """A base whose networks lie on `meta`.

    Attributes:
        calls: of the U-Net so far. vae_encodes, text_encodes: of the encoders.
        repeated: FLOPs of calls without gradient that were not made, because one of their shapes had been.
    """

    calls = vae_encodes = text_encodes = repeated = 0

    def predict(
        self, z_t: Tensor, t: Tensor, conditioning: Conditioning, lane: Tensor | None = None
    ) -> Tensor:
        self.calls += 1
        states = conditioning.tensors["states"]
        text = Conditioning({"states": enter(states)})
        if torch.is_grad_enabled():
            return leave(super().predict(enter(z_t), t, text, lane))
        shapes = z_t.shape, states.shape, lane is None
        known: dict[Any, int] = self.__dict__.setdefault("known", {})
        if shapes in known:
            self.repeated += known[shapes]
            return torch.zeros_like(z_t)
        with FlopCounterMode(display=False) as counter:
            out = leave(super().predict(enter(z_t), t, text, lane))
        known[shapes] = counter.get_total_flops()
        return out

    def decode(self, z_0: Tensor) -> Tensor:
        return leave(super().decode(enter(z_0)))

    def encode_text(self, texts: Sequence[str]) -> Conditioning:
        self.text_encodes += 1
        return super().encode_text(texts)

    def encode_images(self, x: Tensor) -> Tensor:
        self.vae_encodes += 1
        return super().encode_images(x)


class HollowDistance(nn.Module):
    """A distance whose network lies on `meta`."""

    def __init__(self, distance: Any) -> None:
        super().__init__()
        self.distance, self.cacheable = distance.to(META), distance.cacheable

    def target(self, x: Tensor) -> Tensor:
        return leave(self.distance.target(enter(x)))

    def forward(self, x_hat: Tensor, target: Tensor, seeds: Tensor) -> Tensor:
        return leave(self.distance(enter(x_hat), enter(target), seeds))


def enter(x: Tensor) -> Tensor:
    entered: Tensor = _Enter.apply(x)  # type: ignore[no-untyped-call]
    return entered


def leave(x: Tensor) -> Tensor:
    left: Tensor = _Leave.apply(x)  # type: ignore[no-untyped-call]
    return left


def base(architecture: Architecture = Architecture.sd1) -> HollowBase:
    """The whole model, frozen; its tokenizer reads letters, as that of random weights does."""
    with META:
        frozen = networks(architecture)
    scheduler = DDPMScheduler.from_config(configs(architecture)["scheduler"])
    process = Ddpm(scheduler.alphas_cumprod.double())
    return HollowBase(*frozen, tokenizer(PAD_TOKENS[architecture]), scheduler, process, META)


def networks(architecture: Architecture) -> tuple[Any, Any, Any]:
    """VAE, U-Net and text encoder, frozen, on the device that is the default."""
    config = configs(architecture)
    vae = AutoencoderKL.from_config(config["vae"])
    unet = UNet2DConditionModel.from_config(config["unet"])
    text_encoder = CLIPTextModel(CLIPTextConfig(**config["text_encoder"]))
    for network in (vae, unet, text_encoder):
        network.requires_grad_(False).eval()
    return vae, unet, text_encoder


def culture(base: StableDiffusion, compact: NamedDistance, size: int = SIZE) -> CachedCulture:
    """A prepared culture, all zeros, with a negative a pair and the targets of a compact distance."""
    latent = size // 8
    states = 77, base.unet.config.cross_attention_dim
    kept = compact.distance.target(torch.zeros(PAIRS, 3, size, size))[:, None].repeat(1, 2, 1)
    picture = torch.zeros(PAIRS, 3, size, size, dtype=torch.uint8)
    return CachedCulture(
        moments=torch.zeros(PAIRS, 2, 2, 4, latent, latent),
        text=Conditioning({"states": torch.zeros(PAIRS, *states)}),
        generic=Conditioning({"states": torch.zeros(PAIRS, *states)}),
        null=Conditioning({"states": torch.zeros(1, *states)}),
        positive=picture,
        negative=picture[:, None],
        negative_mask=torch.ones(PAIRS, 1, dtype=torch.bool),
        distance_targets={compact.name: Targets(kept, kept[:, :, None])},
    )


def states(rows: int) -> Conditioning:
    """The conditioning of so many texts, on `meta`."""
    return Conditioning({"states": torch.empty(rows, 77, 768, device=META)})


def vgg() -> VggDistance:
    """The VGG distance with weights of zero."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vgg16.safetensors"
        save_file(
            {f"features.{name}": torch.zeros_like(w) for name, w in vgg16_features().state_dict().items()},
            file,
        )
        return VggDistance(file)


def lanes(base: StableDiffusion, count: int, rank: int = 64) -> list[Lane]:
    """Lanes of the full method, put into the base: the authors' settings, S small beside the VGG distance."""
    settings = Lora(rank=rank)
    base.adapt(count, settings)
    s, compared = (
        NamedDistance("toy", HollowDistance(ToyDistance())),
        NamedDistance("vgg", HollowDistance(vgg())),
    )
    own = culture(base, s)
    made = []
    for index in range(count):
        config = RunConfig(
            variant=Variant.mpc,
            seed=index,
            objective=Objective(distance="toy"),
            train=Train(steps=100),
            lora=settings,
        )
        made.append(
            Lane(config, LaneObjective(index, config.variant, config.objective, s, compared), own, base.lora)
        )
    return made
