"""A run's id: what one wants to read, and eight hex digits of what it computes."""

from __future__ import annotations

import hashlib
import json
import re

from scoft_hpc.config.schema import RunConfig, Variant, science

UNTRAINED = ("objective", "lora", "train")
"""The parts that a base run, which is only generated and scored, does not depend on."""


def digest(config: RunConfig) -> str:
    """SHA-256 of the science half, as hex."""
    half = science(config)
    if config.variant is Variant.base:
        half = {k: v for k, v in half.items() if k not in UNTRAINED}
    canonical = json.dumps(half, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def run_id(config: RunConfig) -> str:
    """Such as `korea-mpc-s0-1f3a9c2e`."""
    culture = re.sub(r"[^a-z0-9_]+", "_", config.culture.lower()).strip("_") or "culture"
    return f"{culture}-{config.variant.name}-s{config.seed}-{digest(config)[:8]}"
