"""What is asked of a model: the culture's prompts, and prompts that name no culture."""

from __future__ import annotations

from scoft_hpc.config.schema import RunConfig
from scoft_hpc.data.manifest import Manifest
from scoft_hpc.toy import world

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


def asked(config: RunConfig, manifest: Manifest) -> list[str]:
    """The run's evaluation prompts: the toy world's, or the captions of held-out images, or else of training images."""
    if config.data.name == "toy":
        texts = world.prompts(config.culture)
    else:
        texts = list(dict.fromkeys(pair.text for pair in manifest.held_out or manifest.pairs))
    return texts[: config.evaluation.prompts]


def neutral(config: RunConfig) -> list[str]:
    """The run's prompts that name no culture: the toy world's, or `NEUTRAL`."""
    texts = world.neutral_prompts() if config.data.name == "toy" else list(NEUTRAL)
    return texts[: config.evaluation.neutral]
