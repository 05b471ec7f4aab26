"""Samples of every run of a pack: the same prompts and the same starting noises for all variants.

The base model's own images of these prompts and noises are drawn once for all runs, into the cache: runs are compared
with them, and they are the samples of a base run.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scoft_hpc.config.plain import science_fields
from scoft_hpc.config.schema import RunConfig, Variant
from scoft_hpc.data import images
from scoft_hpc.evaluation.sampling import ImageRequest, draw
from scoft_hpc.inputs import external_images
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.inputs.prompts import evaluation_prompts, model_prompts, neutral_prompts, sample_name
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.study import atomic
from scoft_hpc.study.digests import json_digest, text_digest
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.study.paths import RunDir

VERSION = 1
"""Increased when the same settings draw other images of the base."""


@dataclass(frozen=True)
class EvaluatedRun:
    """A run whose samples are drawn and scored: its folder, settings, culture and its lane in the stacked LoRA."""

    run: RunDir
    config: RunConfig
    manifest: Manifest
    lane: int


@dataclass(frozen=True)
class Sample:
    """One image that is scored.

    Attributes:
        file: in the run's folder.
        base: the base model's own image of the same prompt and noise, in the cache; None for imported images.
        prompt: of the evaluation; model_prompt: the text that the model receives for it.
        noise: names its starting noise: whether the prompt names a culture, its number, and the sample's.
    """

    file: Path
    base: Path | None
    prompt: str
    model_prompt: str
    noise: tuple[str, int, int]


def samples(evaluated: EvaluatedRun) -> list[Sample]:
    """The run's samples, prompt by prompt.

    Raises:
        DataError: if the prompts or their rewritings are not those that the run was planned with.
    """
    prompts = evaluation_prompts(evaluated.config, evaluated.manifest)
    texts = model_prompts(evaluated.config, prompts)
    return list(_samples(evaluated, "sample", evaluated.run.samples, prompts, texts))


def neutral_samples(evaluated: EvaluatedRun) -> list[Sample]:
    """The run's samples of prompts that name no culture, prompt by prompt."""
    prompts = neutral_prompts(evaluated.config)
    return list(_samples(evaluated, "neutral", evaluated.run.neutral, prompts, prompts))


def generate(base: DiffusionModel, runs: Sequence[EvaluatedRun], stop: StopFlag) -> None:
    """Draw the missing samples of all runs, and the base's own images, with runs and prompts batched together.

    Raises:
        Interrupted: if `stop` was requested; finished images stay.
        DataError: if prompts or external images are not those that a run was planned with.
    """
    for evaluated in runs:
        if evaluated.config.evaluation.images:
            import_samples(evaluated)
    to_draw = [(run, sample) for run in runs for sample in (*samples(run), *neutral_samples(run))]
    of_base = [
        ImageRequest(sample.base, sample.prompt, run.config, sample.noise, None)
        for run, sample in to_draw
        if sample.base
    ]
    draw(base, of_base, stop)
    for run, sample in to_draw:
        same_as_base = run.config.variant is Variant.base and sample.model_prompt == sample.prompt
        if same_as_base and sample.base and not sample.file.exists():
            atomic.write_bytes(sample.file, sample.base.read_bytes())
    of_runs = [
        ImageRequest(sample.file, sample.model_prompt, run.config, sample.noise, run.lane)
        for run, sample in to_draw
    ]
    draw(base, of_runs, stop)


def import_samples(evaluated: EvaluatedRun) -> None:
    """Copy another generator's images as the run's missing samples: upright (EXIF), square, at the model's resolution.

    Raises:
        DataError: if the images cannot be used, or are not those that the run was planned with.
    """
    resolution = evaluated.config.model.resolution
    for p, paths in enumerate(external_images.find(evaluated.config, evaluated.manifest).images):
        for s, path in enumerate(paths):
            sample = evaluated.run.samples / sample_name(p, s)
            if not sample.exists():
                images.write_png(sample, images.read_images([path], resolution)[0])


def _samples(
    evaluated: EvaluatedRun, kind: str, folder: Path, prompts: Sequence[str], model_prompts: Sequence[str]
) -> Iterator[Sample]:
    config = evaluated.config
    references = None if config.evaluation.images else references_of(config)
    for p, (prompt, model_prompt) in enumerate(zip(prompts, model_prompts, strict=True)):
        name = text_digest(prompt)
        for s in range(config.evaluation.samples):
            reference = references and references / f"{name}-{kind}-{sample_name(p, s)}"
            yield Sample(folder / sample_name(p, s), reference, prompt, model_prompt, (kind, p, s))


def references_of(config: RunConfig) -> Path:
    """The folder of the base's own images of these settings, whatever the culture, the variant and the prompts."""
    settings = science_fields(config.evaluation)
    drawing = {key: value for key, value in settings.items() if key in ("steps", "guidance", "seed")}
    key = json_digest([VERSION, science_fields(config.model), drawing, config.seed])
    return Path(config.output) / "cache" / f"base-{key}"
