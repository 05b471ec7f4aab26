"""The name of a culture's cache: known without loading what makes it."""

from __future__ import annotations

from pathlib import Path

from scoft_hpc.config.plain import science_fields
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.study.digests import json_digest

VERSION = 5
"""Increased when the same data, model and settings make other tensors, or under other names. Since 4, images
are resized with torchvision's rounding and texts are cached as conditioning."""


def folder_of(config: RunConfig, digest: str) -> Path:
    """`<output>/cache/<culture>-<hash of data, model and settings>`; `digest` is the culture's rows' and images'."""
    parts = [VERSION, digest, science_fields(config.model), science_fields(config.data.negatives)]
    return Path(config.output) / "cache" / f"{config.culture}-{json_digest(parts)}"
