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

from scoft_hpc.config.plain import science_fields
from scoft_hpc.config.schema import RunConfig, Variant
from scoft_hpc.evaluation.sampling import ImageRequest, draw
from scoft_hpc.evaluation.taken import take
from scoft_hpc.inputs import neutral_prompts
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.inputs.prompts import asked, sample_name, told
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.study import atomic
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.study.paths import RunDir

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
        file: in the run's folder.
        base: the base model's own image of the same prompt and noise, in the cache; None if nothing was drawn.
        prompt: what is asked; told: what the model is told for it.
        noise: names its starting noise: whether the prompt names a culture, its number, and the sample's.
    """

    file: Path
    base: Path | None
    prompt: str
    told: str
    noise: tuple[str, int, int]


def samples(subject: Subject) -> list[Sample]:
    """The run's samples, prompt by prompt.

    Raises:
        DataError: if the prompts or their rewritings are not those that the run was planned with.
    """
    texts = asked(subject.config, subject.manifest)
    heard = told(subject.config, texts)
    return list(_samples(subject, "sample", subject.run.samples, texts, heard))


def neutral_samples(subject: Subject) -> list[Sample]:
    """The run's samples of prompts that name no culture, prompt by prompt."""
    texts = neutral_prompts.prompts(subject.config)
    return list(_samples(subject, "neutral", subject.run.neutral, texts, texts))


def generate(base: DiffusionModel, subjects: Sequence[Subject], stop: StopFlag) -> None:
    """Draw what is missing of every run's samples, and of the base's own images, runs and prompts batched together.

    Raises:
        Interrupted: if `stop` was requested; what is drawn stays.
        DataError: if prompts or images of another hand are not those that a run was planned with.
    """
    for subject in subjects:
        if subject.config.evaluation.images:
            take(subject.run, subject.config, subject.manifest)
    wanted = [(s, one) for s in subjects for one in (*samples(s), *neutral_samples(s))]
    alone = [ImageRequest(one.base, one.prompt, s.config, one.noise, None) for s, one in wanted if one.base]
    draw(base, alone, stop)
    for subject, one in wanted:
        untouched = subject.config.variant is Variant.base and one.told == one.prompt
        if untouched and one.base and not one.file.exists():
            atomic.write_bytes(one.file, one.base.read_bytes())
    draw(base, [ImageRequest(one.file, one.told, s.config, one.noise, s.lane) for s, one in wanted], stop)


def _samples(
    subject: Subject, kind: str, folder: Path, texts: Sequence[str], heard: Sequence[str]
) -> Iterator[Sample]:
    config = subject.config
    references = None if config.evaluation.images else references_of(config)
    for p, (text, words) in enumerate(zip(texts, heard, strict=True)):
        name = hashlib.sha256(text.encode()).hexdigest()[:16]
        for s in range(config.evaluation.samples):
            reference = references and references / f"{name}-{kind}-{sample_name(p, s)}"
            yield Sample(folder / sample_name(p, s), reference, text, words, (kind, p, s))


def references_of(config: RunConfig) -> Path:
    """Where the base's own images of these settings lie, whatever the culture, the variant and the prompts."""
    drawing = {
        k: v for k, v in science_fields(config.evaluation).items() if k in ("steps", "guidance", "seed")
    }
    words = json.dumps([VERSION, science_fields(config.model), drawing, config.seed], sort_keys=True)
    return Path(config.output) / "cache" / f"base-{hashlib.sha256(words.encode()).hexdigest()[:16]}"
