"""Negatives x-: what the un-fine-tuned base model draws in the place of a culture's image.

A negative's file is named after everything it depends on: its folder after the model and the settings, the file after
the image and the caption. So it is drawn once for all cultures and studies, an interrupted preparation continues, and
a new pair changes no other pair's negatives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from scoft_hpc.config.plain import science_fields
from scoft_hpc.config.schema import Model, Negatives
from scoft_hpc.data import images
from scoft_hpc.data.negatives.samplers import SAMPLERS
from scoft_hpc.data.rng import generator_for
from scoft_hpc.inputs.dataset import Pair
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.oom_backoff import in_microbatches
from scoft_hpc.study.digests import json_digest, text_digest
from scoft_hpc.study.interrupt import StopFlag

VERSION = 3
"""Increased when the same settings draw other images. Since 3, the culture's images, from which `img2img` and `depth`
start, are resized and cropped with torchvision's rounding."""

MAX_PIXELS = 4 * 512**2
"""Of a batch: 4 images of 512 px, whose U-Net passes (two each) fill a GPU and whose decoding fits a small one."""

MAX_BATCH = 32
"""Images of a batch at most, however small they are."""


@dataclass(frozen=True)
class Negative:
    """The `k`-th negative of a pair; `name` is the hash of the pair."""

    pair: Pair
    name: str
    k: int
    file: Path


@torch.no_grad()
def draw(
    base: DiffusionModel,
    pairs: Sequence[Pair],
    settings: Negatives,
    model: Model,
    cache: Path,
    stop: StopFlag,
    max_batch: int = MAX_BATCH,
) -> list[list[Path]]:
    """Draw the missing ones of the `per_positive` negatives of each pair; return all their files, pair by pair.

    The files are `cache`/negatives-<hash of model and settings>/<hash of image and caption>-<k>.png. A batch of which
    any file is missing is drawn whole, since an image's last bit depends on its batch: so an interrupted drawing comes
    to the same images, bit for bit. Files that exist are not written again.

    Raises:
        Interrupted: if `stop` was requested; finished files stay.
        ConfigError: if the sampler's networks do not fit the base.
    """
    folder = folder_of(settings, model, cache)
    negatives = [
        [Negative(pair, name, k, folder / f"{name}-{k}.png") for k in range(settings.per_positive)]
        for pair, name in ((pair, _name(pair)) for pair in pairs)
    ]
    by_file = {n.file: n for of_k in zip(*negatives, strict=True) for n in of_k}
    if not all(file.exists() for file in by_file):
        _draw(base, list(by_file.values()), settings, model.resolution, stop, max_batch)
    return [[negative.file for negative in of_pair] for of_pair in negatives]


def folder_of(settings: Negatives, model: Model, cache: Path) -> Path:
    """The folder of the negatives of these settings; its name does not depend on how many a pair has."""
    named = {key: value for key, value in science_fields(settings).items() if key != "per_positive"}
    return cache / f"negatives-{json_digest([VERSION, science_fields(model), named])}"


def _draw(
    base: DiffusionModel,
    negatives: list[Negative],
    settings: Negatives,
    resolution: int,
    stop: StopFlag,
    max_batch: int,
) -> None:
    stop.raise_if_set()
    sampler, null = SAMPLERS[settings.source](base, settings), base.encode_text([""])

    def draw_batch(part: slice) -> None:
        batch = negatives[part]
        if all(negative.file.exists() for negative in batch):
            return
        noise = [_noise(base, negative, settings.seed, resolution) for negative in batch]
        drawn = sampler(
            images.read_images([negative.pair.image for negative in batch], resolution).to(base.device),
            base.encode_text([negative.pair.text for negative in batch]),
            null,
            torch.stack(noise).to(base.device),
        )
        for negative, image in zip(batch, drawn, strict=True):
            if not negative.file.exists():
                images.write_png(negative.file, image)

    in_microbatches(draw_batch, len(negatives), max(1, min(max_batch, MAX_PIXELS // resolution**2)), stop)


def _name(pair: Pair) -> str:
    """16 hex digits of a SHA-256 over the image's bytes and the caption."""
    image = hashlib.sha256(pair.image.read_bytes()).hexdigest()
    return text_digest(f"{image}\0{pair.text}")


def _noise(base: DiffusionModel, negative: Negative, seed: int, resolution: int) -> Tensor:
    rng = generator_for(seed, "negative", negative.name, negative.k)
    return torch.randn(base.latent_shape(resolution), generator=rng)
