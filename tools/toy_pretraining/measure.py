"""What the pre-trained toy world can do, measured from its files: the numbers that recipe.json and the docs give."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from torch import Tensor

from scoft_hpc.inputs.toy.scenes import CULTURES, STYLES, SUBJECTS, own_style
from scoft_hpc.inputs.toy.world import prompts
from scoft_hpc.models.toy_networks import Scorer, load_scorer
from toy_pretraining.autoencoder import reconstructions
from toy_pretraining.measure_clip import measure_clip
from toy_pretraining.web_dataset import ImageDataset

GUIDANCE, SAMPLING_STEPS = 4.5, 20


@dataclass(frozen=True)
class Rates:
    """Shares of samples: in the default style, in the culture's own style, with the subject that was asked for."""

    default_style: float
    own_style: float
    subject: float


def load_base(folder: Path) -> Any:
    """The base as a StableDiffusionPipeline in fp32 with DPM-Solver++."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True).to(torch.float32)
    pipeline.scheduler = DPMSolverMultistepScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def sample(pipeline: Any, captions: list[str], seed: int) -> Tensor:
    """One picture a caption, [N, 3, 64, 64] in [-1, 1]."""
    generator = torch.Generator().manual_seed(seed)
    drawn: Tensor = pipeline(
        captions,
        guidance_scale=GUIDANCE,
        num_inference_steps=SAMPLING_STEPS,
        generator=generator,
        output_type="pt",
    ).images
    return drawn.clamp(0, 1) * 2 - 1


def rates(scorer: Scorer, x: Tensor, culture: str) -> Rates:
    """Rates of samples x [N, 3, 64, 64] drawn for `prompts(culture)`, subjects in turn."""
    reading = scorer(x)
    style, subject = reading.style.argmax(dim=1), reading.subject.argmax(dim=1)
    asked = torch.arange(len(x)) % len(SUBJECTS)
    shares = [
        hits.float().mean().item() for hits in (style == 0, style == own_style(culture), subject == asked)
    ]
    return Rates(*(round(share, 4) for share in shares))


def base_rates(pipeline: Any, scorer: Scorer, samples_per_prompt: int, seed: int = 0) -> dict[str, Rates]:
    """What the pipeline draws for each culture's prompts."""
    return {
        culture: rates(scorer, sample(pipeline, prompts(culture) * samples_per_prompt, seed), culture)
        for culture in CULTURES
    }


def psnr_by_style(vae: Any, pictures: ImageDataset) -> dict[str, float]:
    """Peak signal-to-noise ratio in dB of the autoencoder, over all pixels of a style's pictures."""
    error = (reconstructions(vae, pictures) - pictures.x(slice(None))).square().mean(dim=(1, 2, 3)) / 4
    styles = pictures.labels[:, 0]
    return {
        style.name: round(-10 * error[styles == index].mean().log10().item(), 2)
        for index, style in enumerate(STYLES)
    }


@torch.no_grad()
def scorer_accuracy(scorer: Scorer, x: Tensor, pictures: ImageDataset) -> dict[str, float]:
    """Shares of pictures whose style and subject the scorer reads right; x shows `pictures`."""
    reading = scorer(x)
    style, subject, _ = pictures.labels.unbind(dim=1)
    return {
        "style": round((reading.style.argmax(dim=1) == style).float().mean().item(), 4),
        "subject": round((reading.subject.argmax(dim=1) == subject).float().mean().item(), 4),
    }


def measure(folder: Path, held_out: ImageDataset, samples_per_prompt: int) -> dict[str, Any]:
    """All measured numbers of the assets in `folder`, on pictures that no training saw."""
    pipeline, scorer = load_base(folder / "base"), load_scorer(folder)
    redrawn = reconstructions(pipeline.vae, held_out)
    return {
        "held_out_pictures": len(held_out),
        "psnr_db": psnr_by_style(pipeline.vae, held_out),
        "scorer_on_renders": scorer_accuracy(scorer, held_out.x(slice(None)), held_out),
        "scorer_on_reconstructions": scorer_accuracy(scorer, redrawn, held_out),
        "samples_per_prompt": samples_per_prompt,
        "base": {
            culture: vars(found)
            for culture, found in base_rates(pipeline, scorer, samples_per_prompt).items()
        },
        "clip": measure_clip(folder / "clip", pipeline.vae, scorer, held_out, redrawn),
    }
