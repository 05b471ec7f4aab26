"""Samples of every run of a pack: the same prompts and the same starting noises for all variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from scoft_hpc.config.schema import RunConfig
from scoft_hpc.data import images
from scoft_hpc.data.manifest import Manifest
from scoft_hpc.data.streams import stream
from scoft_hpc.models.base import Base
from scoft_hpc.models.sampler import sample
from scoft_hpc.runs.layout import RunDir
from scoft_hpc.runs.stop import Stop
from scoft_hpc.toy import world

BATCH = 48
"""Images drawn at a time."""


@dataclass(frozen=True)
class Subject:
    """A run whose samples are drawn: its folder, settings, culture and its lane in the stacked LoRA."""

    run: RunDir
    config: RunConfig
    manifest: Manifest
    lane: int


def prompts(config: RunConfig, manifest: Manifest) -> list[str]:
    """The run's evaluation prompts: the toy world's, or the captions of held-out images, or else of training images."""
    if config.data.name == "toy":
        texts = world.prompts(config.culture)
    else:
        texts = list(dict.fromkeys(pair.text for pair in manifest.held_out or manifest.pairs))
    return texts[: config.evaluation.prompts]


def sample_name(prompt: int, number: int) -> str:
    return f"p{prompt:02d}-s{number:02d}.png"


@torch.no_grad()
def generate(base: Base, subjects: Sequence[Subject], stop: Stop) -> None:
    """Draw what is missing of every run's samples, runs and prompts batched together.

    Raises:
        Interrupted: if `stop` was requested; what is drawn stays.
    """
    missing = [
        (subject, p, s, text)
        for subject in subjects
        for p, text in enumerate(prompts(subject.config, subject.manifest))
        for s in range(subject.config.evaluation.samples)
        if not (subject.run.samples / sample_name(p, s)).exists()
    ]
    if not missing:
        return
    null = base.encode_text([""])
    texts = sorted({text for *_, text in missing})
    states = dict(zip(texts, base.encode_text(texts), strict=True))
    settings = missing[0][0].config.evaluation  # steps and guidance are the same in all runs of a pack
    size = missing[0][0].config.model.resolution // 2 ** (len(base.vae.config.block_out_channels) - 1)
    shape = (base.unet.config.in_channels, size, size)
    for at in range(0, len(missing), BATCH):
        stop.check()
        some = missing[at : at + BATCH]
        noise = [
            torch.randn(shape, generator=stream(settings.seed, subject.config.seed, "sample", p, s))
            for subject, p, s, _ in some
        ]
        drawn = sample(
            base,
            torch.stack([states[text] for *_, text in some]),
            null,
            torch.stack(noise).to(base.device),
            steps=settings.steps,
            guidance=settings.guidance,
            lane=torch.tensor([subject.lane for subject, *_ in some], device=base.device),
        )
        for (subject, p, s, _), picture in zip(some, drawn, strict=True):
            images.write_png(subject.run.samples / sample_name(p, s), picture)
