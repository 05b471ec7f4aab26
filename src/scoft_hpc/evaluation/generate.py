"""Samples of every run of a pack: the same prompts and the same starting noises for all variants.

The base model's own images of these prompts and noises are drawn once for all runs, into the cache: what a run is
held against, and what a base run shows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scoft_hpc.config.schema import RunConfig, Variant, science
from scoft_hpc.data.manifest import Manifest
from scoft_hpc.evaluation import prompts
from scoft_hpc.evaluation.drawing import Image, draw, file_name
from scoft_hpc.models.base import Base
from scoft_hpc.runs import atomic
from scoft_hpc.runs.layout import RunDir
from scoft_hpc.runs.stop import Stop

VERSION = 1
"""Of how the base's images are drawn: raised when the same settings come to draw other pictures."""


@dataclass(frozen=True)
class Subject:
    """A run whose samples are drawn: its folder, settings, culture and its lane in the stacked LoRA."""

    run: RunDir
    config: RunConfig
    manifest: Manifest
    lane: int


@dataclass(frozen=True)
class Sample:
    """One image that is scored.

    Attributes:
        file: in the run's folder; base: the base model's own image of the same prompt and noise, in the cache.
        prompt: what was asked.
        noise: names its starting noise: whether the prompt names a culture, its number, and the sample's.
    """

    file: Path
    base: Path
    prompt: str
    noise: tuple[str, int, int]


def samples(subject: Subject) -> list[Sample]:
    """The run's samples, prompt by prompt."""
    texts = prompts.asked(subject.config, subject.manifest)
    return list(_samples(subject, "sample", subject.run.samples, texts))


def neutral_samples(subject: Subject) -> list[Sample]:
    """The run's samples of prompts that name no culture, prompt by prompt."""
    return list(_samples(subject, "neutral", subject.run.neutral, prompts.neutral(subject.config)))


def generate(base: Base, subjects: Sequence[Subject], stop: Stop) -> None:
    """Draw what is missing of every run's samples, and of the base's own images, runs and prompts batched together.

    Raises:
        Interrupted: if `stop` was requested; what is drawn stays.
    """
    wanted = [(s, one) for s in subjects for one in (*samples(s), *neutral_samples(s))]
    draw(base, [Image(one.base, one.prompt, s.config, one.noise, None) for s, one in wanted], stop)
    for subject, one in wanted:
        if subject.config.variant is Variant.base and not one.file.exists():
            atomic.write_bytes(one.file, one.base.read_bytes())
    draw(base, [Image(one.file, one.prompt, s.config, one.noise, s.lane) for s, one in wanted], stop)


def _samples(subject: Subject, kind: str, folder: Path, texts: Sequence[str]) -> Iterator[Sample]:
    references = references_of(subject.config)
    for p, text in enumerate(texts):
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        for s in range(subject.config.evaluation.samples):
            reference = references / f"{name}-{kind}-{file_name(p, s)}"
            yield Sample(folder / file_name(p, s), reference, text, (kind, p, s))


def references_of(config: RunConfig) -> Path:
    """Where the base's own images of these settings lie, whatever the culture, the variant and the prompts."""
    drawing = {k: v for k, v in science(config.evaluation).items() if k in ("steps", "guidance", "seed")}
    words = json.dumps([VERSION, science(config.model), drawing, config.seed], sort_keys=True)
    return Path(config.output) / "cache" / f"base-{hashlib.sha256(words.encode()).hexdigest()[:16]}"
