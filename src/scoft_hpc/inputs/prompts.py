"""The prompts that a run is scored on, and what the model receives for them. No torch: plans read them too."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from scoft_hpc.config.schema import Evaluation, Prompting, RunConfig
from scoft_hpc.errors import DataError
from scoft_hpc.inputs import prompt_rewrites
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.inputs.toy import world
from scoft_hpc.study.digests import json_digest
from scoft_hpc.text import listing

MAX_PROMPTS_LISTED = 3

NEUTRAL = (
    "a red bicycle leaning against a wall",
    "two cups on a wooden table",
    "a small boat on a calm lake",
    "a cat asleep on a chair",
    "a lighthouse in the fog",
    "a bowl of apples",
    "a mountain under a full moon",
    "an old pair of shoes",
    "a train crossing a bridge",
    "a street at night after rain",
    "a tree without leaves in the snow",
    "a stack of books beside a lamp",
    "a horse in a meadow",
    "a kitchen with a large window",
    "a clock on a station platform",
    "a bird on a fence",
    "a bottle and a glass",
    "waves breaking on rocks",
    "a path through a forest",
    "a dog running on a beach",
    "a piano in an empty room",
    "a bridge over a river in autumn",
    "a fish in a glass bowl",
    "clouds above a field of wheat",
)
"""Plain subjects of anywhere [ours]: what a model should still draw as its base does."""


def evaluation_prompts(config: RunConfig, manifest: Manifest) -> list[str]:
    """The run's evaluation prompts: the toy world's, or the captions of held-out images, or else of training images."""
    if config.data.name == "toy":
        texts = world.prompts(config.culture)
    else:
        texts = list(dict.fromkeys(pair.text for pair in manifest.held_out or manifest.pairs))
    return texts[: config.evaluation.prompts]


def neutral_prompts(config: RunConfig) -> list[str]:
    """The prompts that name no culture and are never rewritten: what a model forgets shows there.

    The toy world's, or `NEUTRAL`; none for another generator's images, which show other prompts.
    """
    if config.evaluation.images:
        return []
    texts = world.neutral_prompts() if config.data.name == "toy" else list(NEUTRAL)
    return texts[: config.evaluation.neutral]


def sample_name(prompt: int, number: int) -> str:
    """Of the `number`-th sample of the `prompt`-th prompt whatever text the model received for it."""
    return f"p{prompt:02d}-s{number:02d}.png"


def model_prompts(config: RunConfig, texts: Sequence[str]) -> list[str]:
    """What the model receives for each of the prompts `texts`.

    Raises:
        DataError: naming the prompts that have no rewriting, or if it is not what the run was planned with.
    """
    settings, culture = config.evaluation, config.culture
    if settings.prompting is Prompting.asked or settings.images:
        return list(texts)
    if settings.prompting is Prompting.named:
        model_texts = [append_culture(text, culture) for text in texts]
    else:
        model_texts = _rewritten(settings, config, texts)
    if settings.digest not in ("", json_digest(model_texts)):
        raise DataError(
            f"{culture}: the {settings.prompting.name} prompts have changed since the run was planned"
            f"{f' with {settings.rewrites}' if settings.rewrites else ''}. Restore them, or plan a new study with "
            f"study=NAME."
        )
    return model_texts


def with_digest(config: RunConfig, manifest: Manifest) -> Evaluation:
    """The evaluation's settings with the digest of what the model receives, and `asked` where that is the prompts.

    Raises:
        DataError: naming the prompts that have no rewriting.
    """
    settings = config.evaluation
    plain = replace(settings, prompting=Prompting.asked, rewrites=None)
    texts = evaluation_prompts(config, manifest)
    model_texts = model_prompts(config, texts)
    if model_texts == texts:
        return plain
    if settings.rewrites:
        settings = replace(settings, rewrites=str(Path(settings.rewrites).expanduser().absolute()))
    return replace(settings, digest=json_digest(model_texts))


def append_culture(text: str, culture: str) -> str:
    """The prompt with the culture's name, where it does not hold it as a word: `a house, south korea`."""
    parts = [part for part in re.split(r"[\s_-]+", culture) if part]
    pattern = r"[\s_-]+".join(re.escape(unicodedata.normalize("NFC", part)) for part in parts)
    if re.search(rf"(?<!\w){pattern}(?!\w)", unicodedata.normalize("NFC", text), re.IGNORECASE):
        return text
    return f"{text.rstrip(' .,;')}, {' '.join(parts)}"


def _rewritten(settings: Evaluation, config: RunConfig, texts: Sequence[str]) -> list[str]:
    culture = config.culture
    if settings.rewrites:
        pairs = prompt_rewrites.read(Path(settings.rewrites).expanduser(), culture)
    else:
        pairs = world.rewrites(culture) if config.data.name == "toy" else {}
    missing = [text for text in texts if text not in pairs]
    if missing:
        raise DataError(
            f"{culture}: {len(missing)} of {len(texts)} evaluation prompts have no rewriting in "
            f"evaluation.rewrites={settings.rewrites}: {listing([*map(repr, missing)], MAX_PROMPTS_LISTED)}. Write "
            f"them there, or have a language model do it: `python -m scoft_hpc.rewrite` with the same settings."
        )
    return [pairs[text] for text in texts]
