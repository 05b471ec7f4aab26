"""Prompts that name no culture: what a model forgets shows there. They are never rewritten."""

from __future__ import annotations

from scoft_hpc.config.schema import RunConfig
from scoft_hpc.inputs.toy import world

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


def prompts(config: RunConfig) -> list[str]:
    """The run's: the toy world's, or `NEUTRAL`; none for another generator's images, which show other prompts."""
    if config.evaluation.images:
        return []
    texts = world.neutral_prompts() if config.data.name == "toy" else list(NEUTRAL)
    return texts[: config.evaluation.neutral]
