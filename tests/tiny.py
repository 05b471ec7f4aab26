"""Tiny random networks of the real classes, for tests of the mathematics: a base that costs milliseconds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from scoft_hpc.config.schema import Lora, Objective, RunConfig, Train, Variant
from scoft_hpc.config.terms import needs_rollout
from scoft_hpc.data.culture_cache import CachedCulture
from scoft_hpc.diffusion.ddpm import Ddpm
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.families.stable_diffusion import StableDiffusion
from scoft_hpc.study.paths import RunDir
from scoft_hpc.training.lane import Lane
from scoft_hpc.training.loop import LaneRun
from scoft_hpc.training.objective import LaneObjective, NamedDistance

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


def base(seed: int = 0, prediction_type: str = "epsilon", timesteps: int = 1000) -> StableDiffusion:
    """Frozen, without a text encoder: tests give text states of width TEXT."""
    scheduler = DDPMScheduler(
        num_train_timesteps=timesteps,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        prediction_type=prediction_type,
    )
    networks = unet(seed).eval().requires_grad_(False), vae(seed + 1).eval().requires_grad_(False)
    process = Ddpm(scheduler.alphas_cumprod.double(), velocity=prediction_type == "v_prediction")
    return StableDiffusion(networks[1], networks[0], None, None, scheduler, process, torch.device("cpu"))


def states(text: Tensor) -> Conditioning:
    """Text states [N, T, TEXT] as `base` is conditioned on them."""
    return Conditioning({"states": text})


def culture(seed: int = 0, pairs: int = 6, negatives: int = 2) -> CachedCulture:
    """A prepared culture of random tensors that fit `base`."""
    rng = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (pairs, 1 + negatives, 3, 32, 32), generator=rng, dtype=torch.uint8)
    return CachedCulture(
        moments=torch.rand(pairs, 2, 2, 4, 8, 8, generator=rng),
        text=states(torch.randn(pairs, 5, TEXT, generator=rng)),
        generic=states(torch.randn(pairs, 5, TEXT, generator=rng)),
        null=states(torch.randn(1, 5, TEXT, generator=rng)),
        positive=pixels[:, 0],
        negative=pixels[:, 1:],
        negative_mask=torch.ones(pairs, negatives, dtype=torch.bool),
    )


class PixelDistance(nn.Module):
    """The simplest S, whose targets are the images themselves."""

    cacheable = False

    def target(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x_hat: Tensor, target: Tensor, seeds: Tensor) -> Tensor:
        return (x_hat[:, None] - target).square().mean((2, 3, 4))


PIXELS = NamedDistance("pixels", PixelDistance())


def config(variant: Variant = Variant.mpc, **science: Any) -> RunConfig:
    """A short run: 6 updates, so that rollouts come in updates 0, 2 and 5."""
    train = {"steps": 6, "lr": 1e-2, **science.pop("train", {})}
    objective = {"w_vgg": 0.0, **science.pop("objective", {})}
    return RunConfig(
        variant=variant,
        objective=Objective(**objective),
        train=Train(**train),
        lora=Lora(rank=4),
        **science,
    )


def lanes(
    base: StableDiffusion, configs: Sequence[RunConfig], cultures: Sequence[CachedCulture] | None = None
) -> list[Lane]:
    """A pack's lanes in a new stacked LoRA on `base`."""
    base.adapt(len(configs), Lora(4, None, ("to_q", "to_k", "to_v", "to_out.0")))
    cultures = cultures or [culture() for _ in configs]
    return [
        Lane(
            c,
            LaneObjective(i, c.variant, c.objective, PIXELS if needs_rollout(c.variant) else None),
            cultures[i],
            base.lora,
        )
        for i, c in enumerate(configs)
    ]


def pack(folder: Path, base: StableDiffusion, configs: Sequence[RunConfig]) -> list[LaneRun]:
    """The lanes with a run folder each."""
    trainings = []
    for i, lane in enumerate(lanes(base, configs)):
        run = RunDir(folder / f"lane-{i}")
        run.path.mkdir(parents=True, exist_ok=True)
        trainings.append(LaneRun(run, lane))
    return trainings
