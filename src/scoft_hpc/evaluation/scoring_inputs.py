"""What the metrics look at: a run's samples and what they are held against, through the networks that judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from scoft_hpc.config.schema import Scoring
from scoft_hpc.data import images
from scoft_hpc.evaluation.embedders import Clip, Embedding, load_clip, load_embedding
from scoft_hpc.evaluation.generate import Sample, Subject, neutral_samples, samples
from scoft_hpc.inputs.checkpoints.embedders import Judge, judges
from scoft_hpc.models.oom_backoff import MicrobatchSize
from scoft_hpc.models.toy_networks import Scorer, load_scorer

BATCH = 32
"""Images that go through a judge at a time, as far as the memory takes them."""
CLIP_SCORE_PREFIX = "A photo depicts "
"""What the authors of CLIPScore put before each text."""
MIN_SET_SIZE = 2
"""Images of each set that a distance between sets needs."""
TOY_PIXELS = 64
"""The resolution at which the toy world's scorer reads an image."""


class ToyLabels(NamedTuple):
    """What the toy world's scorer reads off N images: indices of styles [N] and of subjects [N]."""

    style: Tensor
    subject: Tensor


@dataclass
class ScoringModels:
    """The networks that judge, each loaded at first use; what they make of a culture's own images is kept.

    Raises (at first use):
        ConfigError: if a network is not there or not whole.
    """

    scoring: Scoring
    device: torch.device
    _kept: dict[tuple[str, tuple[Path, ...]], Tensor] = field(default_factory=dict)

    @cached_property
    def embedding(self) -> Embedding:
        return load_embedding(self.scoring, self.device)

    @cached_property
    def clip(self) -> Clip:
        return load_clip(self.scoring, self.device)

    @cached_property
    def scorer(self) -> Scorer:
        return load_scorer()

    @cached_property
    def named(self) -> dict[str, Judge]:
        """The networks by their part, as scores.json names them."""
        return judges(self.scoring)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """[N, D] of images [N, 3, H, W]."""
        return self._in_batches(self.embedding, x)

    @torch.no_grad()
    def clip_images(self, x: Tensor) -> Tensor:
        """[N, D] of images [N, 3, H, W]."""
        return self._in_batches(self.clip.images, x)

    @torch.no_grad()
    def clip_texts(self, texts: Sequence[str]) -> Tensor:
        """[N, D] of prompts, each after CLIPScore's prefix; equal ones are read once."""
        unique = list(dict.fromkeys(texts))
        read = self.clip.texts([CLIP_SCORE_PREFIX + text for text in unique]).float().cpu()
        return read[[unique.index(text) for text in texts]]

    @torch.no_grad()
    def toy_labels(self, x: Tensor) -> ToyLabels:
        """Labels [N] of images [N, 3, H, W] of the toy world."""
        if x.shape[-1] != TOY_PIXELS:
            x = torch.nn.functional.interpolate(
                x, size=(TOY_PIXELS, TOY_PIXELS), mode="bilinear", antialias=True
            )
        readings = [self.scorer(part) for part in x.split(64)]
        return ToyLabels(
            style=torch.cat([reading.style for reading in readings]).argmax(1),
            subject=torch.cat([reading.subject for reading in readings]).argmax(1),
        )

    def of_files(self, network: str, files: Sequence[Path], size: int) -> Tensor:
        """`features` or `clip_images` of a culture's own images, taken once for all runs."""
        known = (network, tuple(files))
        if known not in self._kept:
            through = self.features if network == "features" else self.clip_images
            self._kept[known] = through(images.read_images(list(files), size))
        return self._kept[known]

    def _in_batches(self, network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        room, parts, done = MicrobatchSize(BATCH), [], 0

        def some(rows: int | None) -> Tensor:
            return network(x[done : done + (rows or BATCH)].to(self.device)).float().cpu()

        while done < len(x):
            parts.append(room.run(some, BATCH))
            done += len(parts[-1])
        return torch.cat(parts)


class SampleSet:
    """Samples of one kind: images in [-1, 1], their prompts, and the base's own images of the same prompts and noises.

    Attributes:
        prompts: what was asked, one a sample; shape: (prompts, samples of each).
    """

    def __init__(self, found: Sequence[Sample], each: int, size: int, judges: ScoringModels) -> None:
        self.samples, self.size, self.judges = found, size, judges
        self.prompts = [one.prompt for one in found]
        self.shape = (len(found) // each, each)
        self.subjects = torch.tensor([one.noise[1] for one in found])

    @cached_property
    def images(self) -> Tensor:
        return images.read_images([one.file for one in self.samples], self.size)

    @cached_property
    def features(self) -> Tensor:
        return self.judges.features(self.images)

    @cached_property
    def clip(self) -> Tensor:
        return self.judges.clip_images(self.images)

    @cached_property
    def toy_labels(self) -> ToyLabels:
        return self.judges.toy_labels(self.images)

    @cached_property
    def base(self) -> Tensor | None:
        """The features of the base's own images; None where they are not there any more, or nothing was drawn."""
        files = [one.base for one in self.samples if one.base is not None and one.base.exists()]
        if len(files) < len(self.samples):
            return None
        return self.judges.of_files("features", files, self.size)

    @cached_property
    def clip_texts(self) -> Tensor:
        return self.judges.clip_texts(self.prompts)

    def by_prompt(self, features: Tensor) -> Tensor:
        """[N, D] -> [prompts, samples of each, D]."""
        return features.view(*self.shape, -1)


class ScoringInputs:
    """All that a run's metrics may look at.

    Attributes:
        own: samples of the culture's prompts; neutral: of prompts that name no culture, None where there are none.
        trained, held_out: the culture's images, as files.
    """

    def __init__(self, subject: Subject, judges: ScoringModels) -> None:
        self.subject, self.judges = subject, judges
        config, manifest = subject.config, subject.manifest
        each, self.size = config.evaluation.samples, config.model.resolution
        self.own = SampleSet(samples(subject), each, self.size, judges)
        neutral = neutral_samples(subject)
        there = bool(neutral) and all(one.file.exists() for one in neutral)
        self.neutral = SampleSet(neutral, each, self.size, judges) if there else None
        self.trained = [pair.image for pair in manifest.pairs]
        self.held_out = [pair.image for pair in manifest.held_out]

    @property
    def toy(self) -> bool:
        """Whether the truth is known."""
        return self.subject.config.data.name == "toy"

    @property
    def can_compare_sets(self) -> bool:
        """Whether there are enough samples and held-out images for a distance between the two sets."""
        return min(len(self.held_out), len(self.own.samples)) >= MIN_SET_SIZE

    def features_of(self, files: Sequence[Path]) -> Tensor:
        """Of the culture's own images, [N, D]."""
        return self.judges.of_files("features", files, self.size)

    def clip_of(self, files: Sequence[Path]) -> Tensor:
        """Of the culture's own images, [N, D]."""
        return self.judges.of_files("clip", files, self.size)
