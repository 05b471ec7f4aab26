"""What is measured of a run's samples: the names in scores.json, and how a reader is told of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Sample = dict[str, Any]


@dataclass(frozen=True)
class Measure:
    """`goal` is what a fine-tuned model should come near: a number, or None where neither end is better.

    `of_sample` gives one sample's value, or None where it has none; a run's value is the mean over its samples.
    It is None itself where only a whole set of samples has a value.
    """

    name: str
    title: str
    short: str
    goal: float | None
    meaning: str
    of_sample: Callable[[Sample], float | None] | None

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value it can take: a share's, or a distance's."""
        return (0.0, 1.0 if self.of_sample else math.inf)

    @property
    def arrow(self) -> str:
        return {0.0: "↓", 0.5: "→ ½", 1.0: "↑"}.get(-1.0 if self.goal is None else self.goal, "")


def _truth(name: str) -> Callable[[Sample], float | None]:
    def value(sample: Sample) -> float | None:
        found = sample.get(name)
        return None if found is None else float(found)

    return value


def _memorized(sample: Sample) -> float | None:
    train, held_out = sample.get("nearest_train"), sample.get("nearest_held_out")
    return None if train is None or held_out is None else float(train < held_out)


MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            "default_style",
            "Default style",
            "default",
            0.0,
            "Share of samples drawn in the style that the base falls back on, whatever the culture: the bias.",
            _truth("default_style"),
        ),
        Measure(
            "in_style",
            "In style",
            "in style",
            1.0,
            "Share of samples drawn in the culture's own style.",
            _truth("in_style"),
        ),
        Measure(
            "subject",
            "Subject",
            "subject",
            1.0,
            "Share of samples that show the subject the prompt asks for.",
            _truth("subject"),
        ),
        Measure(
            "memorization",
            "Memorization",
            "mem.",
            0.5,
            "Share of samples nearer to a training image than to any held-out image of the culture; "
            "one half is chance where both sets are of one size.",
            _memorized,
        ),
        Measure(
            "diversity",
            "Diversity",
            "div.",
            None,
            "Mean distance between two samples of one prompt in feature space.",
            None,
        ),
    )
}
"""In the order in which tables and plots show them."""
