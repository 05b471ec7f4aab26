"""The weights of the feature networks: located on this machine, checked and hashed; nothing is loaded."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from scoft_hpc.config.schema import DISTANCES, Objective, Variant
from scoft_hpc.config.terms import needs_rollout
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import hub, safetensors_header
from scoft_hpc.inputs.checkpoints.digest import digest
from scoft_hpc.inputs.checkpoints.files import shards
from scoft_hpc.study.json_files import read_json


@dataclass(frozen=True)
class Network:
    """A network in transformers' layout.

    Attributes:
        hub: the id that `objective.distance_path` stands for where it is not set.
        kinds: its `model_type`s.
        weights: the file that the hub id has.
    """

    hub: str
    kinds: tuple[str, ...]
    weights: str = "model.safetensors"


NETWORKS = {
    "dino": Network("facebook/dinov2-large", ("dinov2",)),
    "clip": Network("openai/clip-vit-base-patch32", ("clip", "clip_vision_model"), "pytorch_model.bin"),
    "blip2": Network("Salesforce/blip2-itm-vit-g", ("blip-2",)),
}
VGG16_HUB = "timm/vgg16.tv_in1k"
VGG16_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Channels of VGG16's convolutions; after each follows a ReLU, after each block a pooling."""

REVISIONS = {"vgg": 2}
"""Raised when the same weights come to give another distance, so that runs get other ids and cached targets other
names; 1 where absent. vgg 2: the maps of groups 1 to 4 are after ReLU."""

DREAMSIM = (
    "dino_vitb16_pretrain.pth",
    "clip_vitb16_pretrain.pth.tar",
    "open_clip_vitb16_pretrain.pth.tar",
    "ensemble_lora/adapter_config.json",
    "checkpoints/dino_vitbase16_pretrain.pth",
    "facebookresearch_dino_main/hubconf.py",
)
"""What the dreamsim package downloads into its `cache_dir`, beside the ensemble's adapter in one of two forms."""
ADAPTERS = ("ensemble_lora/adapter_model.safetensors", "ensemble_lora/adapter_model.bin")
PERCEPTUAL = "it needs its own package: `pip install 'scoft-hpc[perceptual]'`"


def resolve(objective: Objective, variant: Variant) -> Objective:
    """The objective with absolute paths of the networks that the variant uses, and their digest.

    Raises:
        ConfigError: with all faults, if a network is unknown, or its weights or its package are not there.
    """
    objective = replace(objective, digest="")
    if not needs_rollout(variant):
        return objective
    if objective.distance == "vgg" and objective.vgg_path is None:
        objective = replace(objective, vgg_path=objective.distance_path, distance_path=None)
    faults = list(_misused(objective))
    paths: dict[str, Path] = {}
    for name in dict.fromkeys([objective.distance, *(["vgg"] if objective.w_vgg else [])]):
        if name in DISTANCES and name != "toy":
            try:
                paths[name] = locate(name, objective)
            except ConfigError as error:
                faults.append(str(error))
    if faults:
        raise ConfigError.from_messages(faults)
    if "vgg" in paths:
        objective = replace(objective, vgg_path=str(paths["vgg"]))
    if objective.distance in paths and objective.distance != "vgg":
        objective = replace(objective, distance_path=str(paths[objective.distance]))
    return replace(objective, digest=_digest(paths))


def path_of(name: str, objective: Objective) -> str | None:
    """The setting that says where the network `name` lies; None: at its own hub id, or it needs no file."""
    return objective.vgg_path if name == "vgg" else objective.distance_path


def locate(name: str, objective: Objective) -> Path:
    """The absolute path of the weights of `name`, any but `toy`: a file for vgg, else a folder; all checks done.

    Raises:
        ConfigError: if they are missing, half-downloaded or another network's, or the network's package is missing.
    """
    if name == "dreamsim":
        return _dreamsim(objective.distance_path)
    if name == "vgg":
        return _vgg(objective.vgg_path)
    return _transformers(NETWORKS[name], objective.distance_path)


def _misused(objective: Objective) -> Iterator[str]:
    name, path = objective.distance, objective.distance_path
    if name not in DISTANCES:
        yield f"objective.distance={name}: not known; it is one of {', '.join(DISTANCES)}."
    if path is not None and name == "toy":
        yield f"objective.distance_path={path} is not used by distance toy; leave it out."
    if path is not None and name == "vgg":
        yield f"objective.distance_path={path} is not used beside objective.vgg_path; leave it out."


def _transformers(network: Network, given: str | None) -> Path:
    given, files = given or network.hub, ("config.json", network.weights)
    setting = "objective.distance_path"
    folder = hub.find(given, setting, needs=files[:1] if _local(given) else files)
    kind = read_json(folder / "config.json").get("model_type")
    faults = [
        f"{path.name} {fault}"
        for path in shards(folder / "model.safetensors")
        if (fault := safetensors_header.fault(path))
    ]
    if kind not in network.kinds:
        faults.append(f"config.json says model_type: {kind!r}; expected {' or '.join(network.kinds)}")
    if not faults and not _weights(folder):
        faults.append(f"there is neither model.safetensors nor pytorch_model.bin{hub.broken_off(folder)}")
    if faults:
        line = hub.download(network.hub, None, files)
        raise ConfigError(
            f"{setting}={given} cannot be used: {'; '.join(faults)}. Expected a network as {line} gets it."
        )
    return folder


def _vgg(given: str | None) -> Path:
    given, needs = given or VGG16_HUB, ("model.safetensors",)
    file = _local(given)
    if file is None or not file.is_file():
        file = hub.find(given, "objective.vgg_path", needs=needs) / needs[0]
    fault = safetensors_header.fault(file)
    if fault is None:
        found = safetensors_header.shapes(file)
        wrong = [name for name, shape in _vgg16_shapes() if found.get(name) != shape]
        fault = f"lacks VGG16's {', '.join(wrong[:3])}{', …' if wrong[3:] else ''}" if wrong else None
    if fault:
        line = hub.download(VGG16_HUB, None, needs)
        raise ConfigError(
            f"objective.vgg_path={given}: {file} {fault}. Expected torchvision's VGG16 weights as safetensors; "
            f"{line} gets them, and objective.vgg_path={VGG16_HUB}, the default, finds them."
        )
    return file


def _vgg16_shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the convolutions' weights, as torchvision numbers its layers."""
    index, width = 0, 3
    for block in VGG16_BLOCKS:
        for fan_out in block:
            yield f"features.{index}.weight", (fan_out, width, 3, 3)
            yield f"features.{index}.bias", (fan_out,)
            index, width = index + 2, fan_out
        index += 1


def _dreamsim(given: str | None) -> Path:
    if given is None:
        raise ConfigError(
            "objective.distance=dreamsim needs the folder with its weights: add objective.distance_path=DIR; "
            f"{_filled('DIR')}{_package()}."
        )
    folder = hub.find(given, "objective.distance_path")
    absent = [name for name in DREAMSIM if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in ADAPTERS):
        absent.append(ADAPTERS[0])
    if absent:
        names, filled = ", ".join(absent), _filled(str(folder))
        raise ConfigError(f"objective.distance_path={given} lacks DreamSim's {names}; {filled}{_package()}.")
    if package := _package():
        raise ConfigError(f"objective.distance=dreamsim cannot be loaded{package}.")
    return folder


def _filled(folder: str) -> str:
    line = f"python -c \"from dreamsim import dreamsim; dreamsim(device='cpu', cache_dir='{folder}')\""
    return f"where there is a network, `{line}` fills it"


def _package() -> str:
    """A clause that says how to get the package; empty if it is there."""
    return "" if find_spec("dreamsim") else f"; {PERCEPTUAL}"


def _local(given: str) -> Path | None:
    """The absolute path of what is there under that name; None: nothing, so that it can be a hub id."""
    try:
        path = Path(given).expanduser().absolute()
        return path if path.exists() else None
    except (OSError, RuntimeError):
        return None


def _weights(folder: Path) -> list[Path]:
    """The files that hold the weights, in the order in which transformers prefers them."""
    return shards(folder / "model.safetensors") or [
        path for path in [folder / "pytorch_model.bin"] if path.is_file()
    ]


def _digest(paths: dict[str, Path]) -> str:
    """16 hex digits over the contents and revisions of all networks; empty if there is none."""
    parts = []
    for name, path in sorted(paths.items()):
        if path.is_file():
            files = [path.name]
        elif name == "dreamsim":
            files = [n for n in (*DREAMSIM, *ADAPTERS) if (path / n).is_file()]
        else:
            index = path / "model.safetensors.index.json"
            files = [
                "config.json",
                *([index.name] if index.is_file() else []),
                *(p.name for p in _weights(path)),
            ]
        revision = f":{REVISIONS[name]}" if name in REVISIONS else ""
        parts.append(f"{name}:{digest(path if path.is_dir() else path.parent, files)}{revision}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16] if parts else ""
