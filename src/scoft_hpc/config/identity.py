"""A run's id: what one wants to read, and eight hex digits of what it computes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import Any, cast

from scoft_hpc.config.schema import Prompting, RunConfig, Variant, science

UNTRAINED = ("objective", "lora", "train", "data.negatives", "data.random_flip")
"""The settings that a base run, which is only generated and scored, does not depend on."""
UNDRAWN = (
    "evaluation.neutral",
    "evaluation.steps",
    "evaluation.guidance",
    "evaluation.seed",
    "evaluation.prompting",
)
"""The settings that a run on another generator's images, for which nothing is drawn, does not depend on either."""


def untrained(half: dict[str, Any], besides: Sequence[str] = ()) -> dict[str, Any]:
    """The science half of what a base run depends on, without the settings `besides`."""
    left_out = {*UNTRAINED, *besides}

    def kept(part: Any, prefix: str) -> Any:
        if not isinstance(part, dict):
            return part
        return {k: kept(v, f"{prefix}{k}.") for k, v in part.items() if f"{prefix}{k}" not in left_out}

    return cast(dict[str, Any], kept(half, ""))


def digest(config: RunConfig) -> str:
    """SHA-256 of the science half, as hex."""
    half = science(config)
    if config.variant is Variant.base:
        half = untrained(half, UNDRAWN if config.evaluation.images else ())
    canonical = json.dumps(half, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def run_id(config: RunConfig) -> str:
    """Such as `korea-mpc-s0-1f3a9c2e`, `korea-base-named-s0-…` or `korea-images-s0-…`."""
    culture = re.sub(r"[^a-z0-9_]+", "_", config.culture.lower()).strip("_") or "culture"
    settings = config.evaluation
    words = [config.variant.name, *([settings.prompting.name] * (settings.prompting is not Prompting.asked))]
    what = "images" if settings.images else "-".join(words)
    return f"{culture}-{what}-s{config.seed}-{digest(config)[:8]}"
