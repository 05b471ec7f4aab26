"""The networks of `negatives=depth`: located, hashed, and compared with the base model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scoft_hpc.config.schema import Negatives, NegativeSource
from scoft_hpc.errors import ConfigError, collect
from scoft_hpc.inputs.checkpoints.catalogue import CONTROLNET, DEPTH
from scoft_hpc.inputs.checkpoints.spec import checkpoint_digest, locate
from scoft_hpc.study.digests import text_digest
from scoft_hpc.study.json_files import read_json

SHAPE = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim")
"""What a ControlNet and the U-Net that it was copied from have in common."""


def resolve(settings: Negatives) -> Negatives:
    """The settings with absolute folders and the digest of what is in them, for `depth`; else without a digest.

    Raises:
        ConfigError: with what is missing, incomplete or of another kind, of both networks.
    """
    if settings.source is not NegativeSource.depth:
        return replace(settings, digest="")
    problems: list[str] = []
    depth = collect(problems, locate, DEPTH, settings.depth_path)
    controlnet = collect(problems, locate, CONTROLNET, settings.controlnet_path)
    if depth is None or controlnet is None:
        raise ConfigError.from_messages(problems)
    digests = f"{checkpoint_digest(DEPTH, depth)}\n{checkpoint_digest(CONTROLNET, controlnet)}"
    return replace(
        settings,
        depth_path=str(depth),
        controlnet_path=str(controlnet),
        digest=text_digest(digests),
    )


def faults(settings: Negatives, model: Path) -> list[str]:
    """What keeps the ControlNet of resolved settings from fitting the base in folder `model`, as sentences.

    Empty where the base is no folder in diffusers' layout: then it is found out when drawing begins.
    """
    unet = model / "unet" / "config.json"
    if settings.source is not NegativeSource.depth or not unet.is_file():
        return []
    fault = misfit(settings, read_json(Path(settings.controlnet_path) / "config.json"), read_json(unet))
    return [fault] if fault else []


def misfit(settings: Negatives, controlnet: Mapping[str, Any], unet: Mapping[str, Any]) -> str | None:
    """Why a ControlNet's config does not go with a U-Net's, as a sentence; None if it does."""
    named = [name for name in SHAPE if name in controlnet and name in unet]
    widths = {name: (_plain(controlnet[name]), _plain(unet[name])) for name in named}
    others = [f"{name} {one}, the base's is {two}" for name, (one, two) in widths.items() if one != two]
    if not others:
        return None
    return (
        f"{CONTROLNET.setting}={settings.controlnet_path} was made for another base model ({'; '.join(others)}). "
        f"Expected a depth ControlNet of the base's own kind, such as {CONTROLNET.repository} for Stable "
        f"Diffusion 1.x; or take negatives=img2img, which needs none."
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
