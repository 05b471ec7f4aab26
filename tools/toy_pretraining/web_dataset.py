"""Rendered pictures by the thousand, as tensors, for the trainings of the toy world."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scoft_hpc.inputs.toy.scenes import PLACES, SUBJECTS, Scene, render
from scoft_hpc.inputs.toy.world import any_scene, web_scene

WORKERS = 2


@dataclass(frozen=True)
class ImageDataset:
    """pixels uint8 [N, 3, 64, 64]; labels int64 [N, 3]: style, subject, place (0 is none); one caption a picture."""

    pixels: Tensor
    labels: Tensor
    captions: list[str]

    def __len__(self) -> int:
        return len(self.pixels)

    def x(self, index: Tensor | slice) -> Tensor:
        """The pictures at `index` as float [n, 3, 64, 64] in [-1, 1]."""
        return self.pixels[index].float() / 127.5 - 1


def _labels(scene: Scene) -> tuple[int, int, int]:
    return (
        scene.style,
        SUBJECTS.index(scene.subject),
        0 if scene.place is None else 1 + PLACES.index(scene.place),
    )


def _render(scenes: list[Scene]) -> NDArray[np.uint8]:
    return np.stack([render(scene) for scene in scenes])


def pictures_of(scenes: list[Scene], captions: list[str] | None = None) -> ImageDataset:
    """Renders the scenes, on WORKERS processes if they are many. No captions: empty ones."""
    chunks = [scenes[start : start + 500] for start in range(0, len(scenes), 500)]
    if len(chunks) == 1:
        rendered = _render(scenes)
    else:
        with ProcessPoolExecutor(WORKERS, mp_context=get_context("spawn")) as workers:
            rendered = np.concatenate(list(workers.map(_render, chunks)))
    pixels = torch.from_numpy(rendered).permute(0, 3, 1, 2).contiguous()
    return ImageDataset(
        pixels, torch.tensor([_labels(scene) for scene in scenes]), captions or [""] * len(scenes)
    )


def web_pictures(count: int, seed: int) -> ImageDataset:
    """`count` draws from the web distribution."""
    rng = np.random.default_rng([seed, 0])
    scenes, captions = zip(*(web_scene(rng) for _ in range(count)), strict=True)
    return pictures_of(list(scenes), list(captions))


def any_pictures(count: int, seed: int) -> ImageDataset:
    """`count` scenes with subject and style uniform, captions empty."""
    rng = np.random.default_rng([seed, 1])
    return pictures_of([any_scene(rng) for _ in range(count)])


def batches(count: int, size: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    """`steps` index tensors [size] that pass over 0..count-1 in a new random order each time round."""
    order = torch.empty(0, dtype=torch.int64)
    for _ in range(steps):
        while len(order) < size:
            order = torch.cat([order, torch.randperm(count, generator=generator)])
        yield order[:size]
        order = order[size:]


def fp16(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights as they are stored: floats in half precision."""
    return {
        name: (weight.half() if weight.is_floating_point() else weight).contiguous()
        for name, weight in weights.items()
    }
