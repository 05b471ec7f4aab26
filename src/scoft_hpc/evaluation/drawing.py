"""Images for evaluation: each named by its file, drawn once, in batches as large as the memory takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from scoft_hpc.config.schema import RunConfig
from scoft_hpc.data import images
from scoft_hpc.data.streams import stream
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.room import Room
from scoft_hpc.models.sampler import sample
from scoft_hpc.study.interrupt import StopFlag

PIXELS = 16 * 512**2
"""Of the images drawn at a time: 16 of Stable Diffusion's size, or as many as `MOST` small ones."""
MOST = 48


@dataclass(frozen=True)
class Image:
    """An image to be drawn.

    Attributes:
        file: where it goes; what is there already is not drawn again.
        text: what the model is told.
        config: the run's settings: steps and guidance are the same in all runs of a pack.
        noise: names its starting noise beside the run's seed, so that variants share it.
        lane: the adapter it goes through; None for the base model alone.
    """

    file: Path
    text: str
    config: RunConfig
    noise: tuple[str, int, int]
    lane: int | None


@torch.no_grad()
def draw(base: DiffusionModel, wanted: Iterable[Image], stop: StopFlag) -> None:
    """Draw those images whose files are not there.

    Raises:
        Interrupted: if `stop` was requested; what is drawn stays.
    """
    missing = {image.file: image for image in wanted if not image.file.exists()}
    alone = [image for image in missing.values() if image.lane is None]
    adapted = [image for image in missing.values() if image.lane is not None]
    for left in (alone, adapted):
        if left:
            room = Room(max(1, min(MOST, PIXELS // left[0].config.model.resolution ** 2)))
        while left:
            stop.raise_if_set()
            drawn = room.trying(partial(_draw, base, left), MOST)
            left = left[drawn:]


def _draw(base: DiffusionModel, wanted: Sequence[Image], most: int | None) -> int:
    """Draw the first `most` of the wanted images; return how many that are."""
    now = wanted[:most]
    settings = now[0].config.evaluation
    shape = base.latent_shape(now[0].config.model.resolution)
    noise = [
        torch.randn(shape, generator=stream(settings.seed, image.config.seed, *image.noise)) for image in now
    ]
    texts = sorted({image.text for image in now})
    lanes = [image.lane for image in now if image.lane is not None]
    pictures = sample(
        base,
        base.encode_text(texts)[[texts.index(image.text) for image in now]],
        base.encode_text([""]),
        torch.stack(noise).to(base.device),
        steps=settings.steps,
        guidance=settings.guidance,
        lane=torch.tensor(lanes) if lanes else None,
    )
    for image, picture in zip(now, pictures, strict=True):
        images.write_png(image.file, picture)
    return len(now)
