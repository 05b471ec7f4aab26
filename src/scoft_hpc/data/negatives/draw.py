"""Negatives x-: what the un-fine-tuned base model draws in the place of a culture's image.

A negative's file is named after all that it depends on: its folder after the model and the settings, the file after
the image and the caption. So it is drawn once for all cultures and studies, what was drawn before an interruption is
found again, and a pair that comes to a culture changes no other pair's negatives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from scoft_hpc.config.plain import science_fields
from scoft_hpc.config.schema import Model, Negatives
from scoft_hpc.data import images
from scoft_hpc.data.negatives.registry import SOURCES
from scoft_hpc.data.negatives.way import Way
from scoft_hpc.data.streams import stream
from scoft_hpc.inputs.dataset import Pair
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.room import Room
from scoft_hpc.study.interrupt import StopFlag

VERSION = 3
"""Of how negatives are drawn: raised when the same settings come to draw other pictures. From 3 on the culture's
pictures, from which `img2img` and `depth` start, are resized and cropped with torchvision's rounding."""

PIXELS = 4 * 512**2
"""Drawn at a time: 4 images of 512 px, whose U-Net passes (two each) fill a GPU and whose decoding fits a small one."""

BATCH = 32
"""At most so many at a time, however small they are."""


@dataclass(frozen=True)
class Negative:
    """The `k`-th one of a pair, `name` being the pair's."""

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
) -> list[list[Path]]:
    """Draw those of the `per_positive` negatives of each pair that are not there; return their files, pair by pair.

    They lie in `cache`/negatives-<hash of model and settings>/<hash of image and caption>-<k>.png.

    Raises:
        Interrupted: if `stop` was requested; what was drawn is kept.
        ConfigError: if the way's networks do not fit the base.
    """
    folder = folder_of(settings, model, cache)
    wanted = [
        [Negative(pair, name, k, folder / f"{name}-{k}.png") for k in range(settings.per_positive)]
        for pair, name in ((pair, _name(pair)) for pair in pairs)
    ]
    missing = list({one.file: one for ones in wanted for one in ones if not one.file.exists()}.values())
    if missing:
        _draw(base, missing, settings, model.resolution, stop)
    return [[one.file for one in ones] for ones in wanted]


def folder_of(settings: Negatives, model: Model, cache: Path) -> Path:
    """Where the negatives of these settings lie; how many there are a positive is no part of its name."""
    kept = {key: value for key, value in science_fields(settings).items() if key != "per_positive"}
    words = json.dumps([VERSION, science_fields(model), kept], sort_keys=True)
    return cache / f"negatives-{hashlib.sha256(words.encode()).hexdigest()[:16]}"


def _draw(
    base: DiffusionModel, missing: Sequence[Negative], settings: Negatives, resolution: int, stop: StopFlag
) -> None:
    stop.raise_if_set()
    way, null = SOURCES[settings.source](base, settings), base.encode_text([""])
    room, left = Room(max(1, min(BATCH, PIXELS // resolution**2))), list(missing)
    while left:
        stop.raise_if_set()
        drawn = room.trying(partial(_some, base, way, null, left, settings.seed, resolution), len(left))
        left = left[drawn:]


def _some(
    base: DiffusionModel,
    way: Way,
    null: Conditioning,
    left: Sequence[Negative],
    seed: int,
    resolution: int,
    rows: int | None,
) -> int:
    """Draw the first `rows` of the negatives; return how many that are."""
    some = left[:rows]
    drawn = way(
        images.read_images([one.pair.image for one in some], resolution).to(base.device),
        base.encode_text([one.pair.text for one in some]),
        null,
        torch.stack([_noise(base, one, seed, resolution) for one in some]).to(base.device),
    )
    for one, picture in zip(some, drawn, strict=True):
        images.write_png(one.file, picture)
    return len(some)


def _name(pair: Pair) -> str:
    """16 hex digits of a SHA-256 over the image's bytes and the caption."""
    image = hashlib.sha256(pair.image.read_bytes()).hexdigest()
    return hashlib.sha256(f"{image}\0{pair.text}".encode()).hexdigest()[:16]


def _noise(base: DiffusionModel, one: Negative, seed: int, resolution: int) -> Tensor:
    rng = stream(seed, "negative", one.name, one.k)
    return torch.randn(base.latent_shape(resolution), generator=rng)
