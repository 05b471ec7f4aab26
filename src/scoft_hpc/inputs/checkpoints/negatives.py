"""The networks of `negatives=depth` on disk: found, checked and given a digest; nothing is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scoft_hpc.config.schema import Negatives, NegativeSource
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import hub, safetensors_header
from scoft_hpc.inputs.checkpoints.digest import digest
from scoft_hpc.study.json_files import read_json


@dataclass(frozen=True)
class Network:
    """A folder's setting, its files, and the key of its config.json that names its class."""

    setting: str
    weights: str
    others: tuple[str, ...]
    key: str
    kind: str
    example: str

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.others, self.weights)


DEPTH = Network(
    setting="data.negatives.depth_path",
    weights="model.safetensors",
    others=("config.json", "preprocessor_config.json"),
    key="architectures",
    kind="DPTForDepthEstimation",
    example="Intel/dpt-large",
)
CONTROLNET = Network(
    setting="data.negatives.controlnet_path",
    weights="diffusion_pytorch_model.safetensors",
    others=("config.json",),
    key="_class_name",
    kind="ControlNetModel",
    example="lllyasviel/sd-controlnet-depth",
)
SHAPE = ("in_channels", "block_out_channels", "layers_per_block", "cross_attention_dim")
"""What a ControlNet and the U-Net that it was copied from have in common."""


def resolve(settings: Negatives) -> Negatives:
    """The settings with absolute folders and the digest of what is in them, for `depth`; else without a digest.

    Raises:
        ConfigError: telling what is missing, broken off or of another kind, of both networks.
    """
    if settings.source is not NegativeSource.depth:
        return replace(settings, digest="")
    faults: list[str] = []
    folders: list[Path] = []
    for network, given in ((DEPTH, settings.depth_path), (CONTROLNET, settings.controlnet_path)):
        try:
            folders.append(_find(network, given))
        except ConfigError as error:
            faults.append(str(error))
    if faults:
        raise ConfigError.from_messages(faults)
    depth, controlnet = folders
    both = f"{digest(depth, DEPTH.files)}\n{digest(controlnet, CONTROLNET.files)}"
    return replace(
        settings,
        depth_path=str(depth),
        controlnet_path=str(controlnet),
        digest=hashlib.sha256(both.encode()).hexdigest()[:16],
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
    found = {name: (_plain(controlnet[name]), _plain(unet[name])) for name in named}
    others = [f"{name} {one}, the base's is {two}" for name, (one, two) in found.items() if one != two]
    if not others:
        return None
    return (
        f"{CONTROLNET.setting}={settings.controlnet_path} was made for another base model ({'; '.join(others)}). "
        f"Expected a depth ControlNet of the base's own kind, such as {CONTROLNET.example} for Stable Diffusion 1.x; "
        f"or take negatives=img2img, which needs none."
    )


def _find(network: Network, given: str) -> Path:
    folder = hub.find(given, network.setting, needs=network.files)
    if fault := safetensors_header.fault(folder / network.weights):
        raise ConfigError(
            f"{network.setting}={given}: {folder / network.weights} {fault}. Get it again where there is a "
            f"network: {hub.download(given, None, network.files, folder)}"
        )
    found = read_json(folder / "config.json").get(network.key)
    if network.kind not in (found if isinstance(found, list) else [found]):
        raise ConfigError(
            f"{network.setting}={given}: config.json says {network.key}: {found!r}; expected {network.kind!r}, "
            f"such as {network.example}."
        )
    return folder


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, (list, tuple)) else value
