"""The inputs of the metrics: features of a run's samples and of the images that they are compared with."""

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
from scoft_hpc.evaluation.embedders import ClipEmbedder, ImageEmbedder, load_clip, load_embedder
from scoft_hpc.evaluation.generate import EvaluatedRun, Sample, neutral_samples, samples
from scoft_hpc.inputs.checkpoints.embedders import EmbedderRecord, embedder_records
from scoft_hpc.models.oom_backoff import in_microbatches
from scoft_hpc.models.toy_networks import Scorer, load_scorer

BATCH = 32
"""Images that go through a network together, if the memory allows."""
CLIP_SCORE_PREFIX = "A photo depicts "
"""Put before each text, as by the authors of CLIPScore."""
MIN_SET_SIZE = 2
"""Images of each set that a distance between sets needs."""
TOY_PIXELS = 64
"""The input resolution of the toy world's scorer."""


class ToyLabels(NamedTuple):
    """The scorer's classes of N toy images: indices of styles [N] and of subjects [N]."""

    style: Tensor
    subject: Tensor


@dataclass
class ScoringModels:
    """The networks that score samples, each loaded at first use; features of a culture's own images are kept.

    Raises (at first use):
        ConfigError: if a network is missing or incomplete.
    """

    scoring: Scoring
    device: torch.device
    _features_of_files: dict[tuple[str, tuple[Path, ...]], Tensor] = field(default_factory=dict)

    @cached_property
    def embedder(self) -> ImageEmbedder:
        return load_embedder(self.scoring, self.device)

    @cached_property
    def clip(self) -> ClipEmbedder:
        return load_clip(self.scoring, self.device)

    @cached_property
    def scorer(self) -> Scorer:
        return load_scorer()

    @cached_property
    def checkpoints(self) -> dict[str, EmbedderRecord]:
        """The networks by the names that scores.json gives them."""
        return embedder_records(self.scoring)

    @torch.no_grad()
    def features(self, x: Tensor) -> Tensor:
        """[N, D] of images [N, 3, H, W]."""
        return self._in_batches(self.embedder, x)

    @torch.no_grad()
    def clip_images(self, x: Tensor) -> Tensor:
        """[N, D] of images [N, 3, H, W]."""
        return self._in_batches(self.clip.images, x)

    @torch.no_grad()
    def clip_texts(self, texts: Sequence[str]) -> Tensor:
        """[N, D] of prompts, each after CLIPScore's prefix; equal ones are embedded once."""
        unique = list(dict.fromkeys(texts))
        embeddings = self.clip.texts([CLIP_SCORE_PREFIX + text for text in unique]).float().cpu()
        return embeddings[[unique.index(text) for text in texts]]

    @torch.no_grad()
    def toy_labels(self, x: Tensor) -> ToyLabels:
        """Labels [N] of images [N, 3, H, W] of the toy world."""
        if x.shape[-1] != TOY_PIXELS:
            x = torch.nn.functional.interpolate(
                x, size=(TOY_PIXELS, TOY_PIXELS), mode="bilinear", antialias=True
            )
        logits = [self.scorer(part) for part in x.split(64)]
        return ToyLabels(
            style=torch.cat([part.style for part in logits]).argmax(1),
            subject=torch.cat([part.subject for part in logits]).argmax(1),
        )

    def features_of_files(self, network: str, files: Sequence[Path], size: int) -> Tensor:
        """`features` or `clip_images` of a culture's own images, computed once for all runs."""
        key = (network, tuple(files))
        if key not in self._features_of_files:
            embed = self.features if network == "features" else self.clip_images
            self._features_of_files[key] = embed(images.read_images(list(files), size))
        return self._features_of_files[key]

    def _in_batches(self, network: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        def embed(part: slice) -> Tensor:
            return network(x[part].to(self.device)).float().cpu()

        return torch.cat(in_microbatches(embed, len(x), BATCH))


class SampleSet:
    """Samples of one kind: images in [-1, 1], their prompts, and the base's own images of the same prompts and noises.

    Attributes:
        prompts: of the evaluation, one per sample; shape: (prompts, samples of each).
    """

    def __init__(self, samples: Sequence[Sample], per_prompt: int, size: int, models: ScoringModels) -> None:
        self.samples, self.size, self.models = samples, size, models
        self.prompts = [sample.prompt for sample in samples]
        self.shape = (len(samples) // per_prompt, per_prompt)
        self.subjects = torch.tensor([sample.noise[1] for sample in samples])

    @cached_property
    def images(self) -> Tensor:
        return images.read_images([sample.file for sample in self.samples], self.size)

    @cached_property
    def features(self) -> Tensor:
        return self.models.features(self.images)

    @cached_property
    def clip(self) -> Tensor:
        return self.models.clip_images(self.images)

    @cached_property
    def toy_labels(self) -> ToyLabels:
        return self.models.toy_labels(self.images)

    @cached_property
    def base(self) -> Tensor | None:
        """The features of the base's own images; None if any was deleted, or the samples are imported images."""
        files = [s.base for s in self.samples if s.base is not None and s.base.exists()]
        if len(files) < len(self.samples):
            return None
        return self.models.features_of_files("features", files, self.size)

    @cached_property
    def clip_texts(self) -> Tensor:
        return self.models.clip_texts(self.prompts)

    def by_prompt(self, features: Tensor) -> Tensor:
        """[N, D] -> [prompts, samples of each, D]."""
        return features.view(*self.shape, -1)


class ScoringInputs:
    """Everything from which a run's metrics are computed.

    Attributes:
        culture_samples: samples of the culture's prompts; neutral: of prompts that name no culture, None without any.
        trained, held_out: the culture's images, as files.
    """

    def __init__(self, evaluated: EvaluatedRun, models: ScoringModels) -> None:
        self.evaluated, self.models = evaluated, models
        config, manifest = evaluated.config, evaluated.manifest
        per_prompt, self.size = config.evaluation.samples, config.model.resolution
        self.culture_samples = SampleSet(samples(evaluated), per_prompt, self.size, models)
        neutral = neutral_samples(evaluated)
        drawn = bool(neutral) and all(sample.file.exists() for sample in neutral)
        self.neutral = SampleSet(neutral, per_prompt, self.size, models) if drawn else None
        self.trained = [pair.image for pair in manifest.pairs]
        self.held_out = [pair.image for pair in manifest.held_out]

    @property
    def toy(self) -> bool:
        """Whether the data are the toy world's, whose truth is known."""
        return self.evaluated.config.data.name == "toy"

    @property
    def can_compare_sets(self) -> bool:
        """Whether there are enough samples and held-out images for a distance between the two sets."""
        return min(len(self.held_out), len(self.culture_samples.samples)) >= MIN_SET_SIZE

    def features_of(self, files: Sequence[Path]) -> Tensor:
        """Of the culture's own images, [N, D]."""
        return self.models.features_of_files("features", files, self.size)

    def clip_of(self, files: Sequence[Path]) -> Tensor:
        """Of the culture's own images, [N, D]."""
        return self.models.features_of_files("clip", files, self.size)
