"""Samples of every run of a pack: the same prompts and the same starting noises for all variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from scoft_hpc.config.schema import RunConfig
from scoft_hpc.data import images
from scoft_hpc.data.manifest import Manifest
from scoft_hpc.data.streams import stream
from scoft_hpc.evaluation.prompts import asked, sample_name, told
from scoft_hpc.evaluation.taken import take
from scoft_hpc.models.base import Base
from scoft_hpc.models.room import Room
from scoft_hpc.models.sampler import sample
from scoft_hpc.runs.layout import RunDir
from scoft_hpc.runs.stop import Stop

PIXELS = 16 * 512**2
"""Of the images drawn at a time: 16 of Stable Diffusion's size, or as many as `MOST` small ones."""
MOST = 48


@dataclass(frozen=True)
class Subject:
    """A run whose samples are drawn: its folder, settings, culture and its lane in the stacked LoRA."""

    run: RunDir
    config: RunConfig
    manifest: Manifest
    lane: int


class _Wanted(NamedTuple):
    """A sample: its run, the prompt's number, its own number under that prompt, and what the model is told."""

    subject: Subject
    prompt: int
    number: int
    text: str


@torch.no_grad()
def generate(base: Base, subjects: Sequence[Subject], stop: Stop) -> None:
    """Draw what is missing of every run's samples, runs and prompts batched together.

    Raises:
        Interrupted: if `stop` was requested; what is drawn stays.
        DataError: if prompts or images of another hand are not those that a run was planned with.
    """
    for subject in subjects:
        if subject.config.evaluation.images:
            take(subject.run, subject.config, subject.manifest)
    missing = [
        _Wanted(subject, p, s, text)
        for subject in subjects
        for p, text in enumerate(told(subject.config, asked(subject.config, subject.manifest)))
        for s in range(subject.config.evaluation.samples)
        if not (subject.run.samples / sample_name(p, s)).exists()
    ]
    if not missing:
        return
    null = base.encode_text([""])
    texts = sorted({one.text for one in missing})
    states = dict(zip(texts, base.encode_text(texts), strict=True))
    room = Room(max(1, min(MOST, PIXELS // missing[0].subject.config.model.resolution ** 2)))
    while missing:
        stop.check()
        drawn = room.trying(partial(_draw, base, missing, states, null), MOST)
        missing = missing[drawn:]


def _draw(
    base: Base, wanted: Sequence[_Wanted], states: dict[str, Tensor], null: Tensor, most: int | None
) -> int:
    """Draw the first `most` of the wanted images; return how many that are."""
    now = wanted[:most]
    config = now[0].subject.config
    settings = config.evaluation  # steps and guidance are the same in all runs of a pack
    size = config.model.resolution // 2 ** (len(base.vae.config.block_out_channels) - 1)
    shape = (base.unet.config.in_channels, size, size)
    noise = [
        torch.randn(
            shape, generator=stream(settings.seed, one.subject.config.seed, "sample", one.prompt, one.number)
        )
        for one in now
    ]
    pictures = sample(
        base,
        torch.stack([states[one.text] for one in now]),
        null,
        torch.stack(noise).to(base.device),
        steps=settings.steps,
        guidance=settings.guidance,
        lane=torch.tensor([one.subject.lane for one in now]),
    )
    for one, picture in zip(now, pictures, strict=True):
        images.write_png(one.subject.run.samples / sample_name(one.prompt, one.number), picture)
    return len(now)
