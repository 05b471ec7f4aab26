"""Negatives x-: what the un-fine-tuned base model draws in the place of a culture's image."""

from __future__ import annotations

from pathlib import Path

import torch

from scoft_hpc.config.schema import Negatives, NegativeSource
from scoft_hpc.data import images
from scoft_hpc.data.manifest import Pair
from scoft_hpc.data.streams import stream
from scoft_hpc.models.base import Base
from scoft_hpc.models.sampler import sample
from scoft_hpc.runs.stop import Stop

BATCH = 32


@torch.no_grad()
def draw(
    base: Base, pairs: list[Pair], settings: Negatives, resolution: int, folder: Path, stop: Stop
) -> list[list[Path]]:
    """Draw `per_positive` negatives for each pair into `folder`; return their files, pair by pair.

    `txt2img` draws the caption from noise. `img2img` starts from the positive, noised `strength` of the way: strong
    enough that its look is lost and the base's own takes its place, while the layout remains.

    Source: our own two ways; the authors draw theirs with a depth ControlNet.

    Raises:
        Interrupted: if `stop` was requested.
    """
    null = base.encode_text([""])
    files = [[folder / f"{i:05d}-{k}.png" for k in range(settings.per_positive)] for i in range(len(pairs))]
    jobs = [(i, k) for i in range(len(pairs)) for k in range(settings.per_positive)]
    for at in range(0, len(jobs), BATCH):
        stop.check()
        some = jobs[at : at + BATCH]
        x = images.read_images([pairs[i].image for i, _ in some], resolution).to(base.device)
        moments = base.moments(x)
        noise = torch.stack(
            [
                torch.randn(moments.shape[2:], generator=stream(settings.seed, "negative", i, k))
                for i, k in some
            ]
        ).to(base.device)
        drawn = sample(
            base,
            base.encode_text([pairs[i].text for i, _ in some]),
            null,
            noise,
            steps=settings.steps,
            guidance=settings.guidance,
            start=moments[:, 0] if settings.source is NegativeSource.img2img else None,
            strength=settings.strength,
        )
        for (i, k), picture in zip(some, drawn, strict=True):
            images.write_png(files[i][k], picture)
    return files
