"""Images for evaluation: each is named by its file and drawn once, in batches as large as the memory allows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from scoft_hpc.config.schema import RunConfig
from scoft_hpc.data import images
from scoft_hpc.data.rng import generator_for
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.oom_backoff import in_microbatches
from scoft_hpc.models.sampler import sample
from scoft_hpc.study.interrupt import StopFlag

MAX_PIXELS = 16 * 512**2
"""Of a batch: 16 images of Stable Diffusion's size, or `MAX_BATCH` small ones."""
MAX_BATCH = 48


@dataclass(frozen=True)
class ImageRequest:
    """An image to draw.

    Attributes:
        file: where it is written; an existing file is not drawn again.
        text: the prompt as the model receives it.
        config: the run's settings; steps and guidance are the same in all runs of a pack.
        noise: names its starting noise, with the run's seed, so that variants share it.
        lane: the adapter it goes through; None for the base model alone.
    """

    file: Path
    text: str
    config: RunConfig
    noise: tuple[str, int, int]
    lane: int | None


@torch.no_grad()
def draw(base: DiffusionModel, requests: Iterable[ImageRequest], stop: StopFlag) -> None:
    """Draw the images whose files do not exist.

    Raises:
        Interrupted: if `stop` was requested; finished files stay.
    """
    missing = {request.file: request for request in requests if not request.file.exists()}.values()
    for of_base in (True, False):
        batch = [request for request in missing if (request.lane is None) is of_base]
        if batch:
            rows = max(1, min(MAX_BATCH, MAX_PIXELS // batch[0].config.model.resolution ** 2))
            in_microbatches(partial(_draw_slice, base, batch), len(batch), rows, stop)


def _draw_slice(base: DiffusionModel, requests: Sequence[ImageRequest], part: slice) -> None:
    batch = requests[part]
    settings = batch[0].config.evaluation
    shape = base.latent_shape(batch[0].config.model.resolution)
    rngs = (generator_for(settings.seed, request.config.seed, *request.noise) for request in batch)
    noise = [torch.randn(shape, generator=rng) for rng in rngs]
    texts = sorted({request.text for request in batch})
    lanes = [request.lane for request in batch if request.lane is not None]
    drawn = sample(
        base,
        base.encode_text(texts)[[texts.index(request.text) for request in batch]],
        base.encode_text([""]),
        torch.stack(noise).to(base.device),
        steps=settings.steps,
        guidance=settings.guidance,
        lane=torch.tensor(lanes) if lanes else None,
    )
    for request, image in zip(batch, drawn, strict=True):
        images.write_png(request.file, image)
