"""The base model before anything of it is loaded: located, checked for what a run reads, and hashed."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scoft_hpc.config.schema import Model
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import (
    architecture,
    hub,
    safetensors_header,
    scheduler_config,
    single_file,
)
from scoft_hpc.inputs.checkpoints.digest import digest
from scoft_hpc.inputs.checkpoints.safetensors_header import shards
from scoft_hpc.inputs.checkpoints.scheduler_config import SchedulerConfig
from scoft_hpc.inputs.checkpoints.spec import CheckpointSpec, checkpoint_digest, locate
from scoft_hpc.inputs.toy.world import ASSETS
from scoft_hpc.study.digests import json_digest
from scoft_hpc.study.json_files import read_json

TOY = "toy"
RANDOM = "random"
PIPELINE = "StableDiffusionPipeline"
WEIGHTS = {
    "unet": ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"),
    "vae": ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin"),
    "text_encoder": ("model.safetensors", "pytorch_model.bin"),
}
"""A network's weights, and their name in pickle form."""

CONFIGS = {**architecture.CONFIGS, "tokenizer": "tokenizer_config.json"}
CLASSES = {"unet": "UNet2DConditionModel", "vae": "AutoencoderKL", "text_encoder": "CLIPTextModel"}
PICKLES = (".bin", ".ckpt", ".pt", ".pth")
DOWNLOAD = ("*.json", "*.txt", "*/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors")
"""What of a repository on the hub a run reads."""

TOKENIZER_FILES = (
    "tokenizer_config.json",
    "tokenizer.json",
    "vocab.json",
    "merges.txt",
    "special_tokens_map.json",
)
TOKENIZER = CheckpointSpec(
    setting="model.tokenizer",
    repository=Model().tokenizer,
    include=TOKENIZER_FILES,
    weights=None,
    required=TOKENIZER_FILES[:1],
    digested=TOKENIZER_FILES,
)
"""The tokenizer of a single-file checkpoint."""

PICKLE_REFUSED = (
    "a pickle can run code when it is loaded and is refused; use safetensors, or set model.pickle=true"
)


def resolve(model: Model) -> Model:
    """The model with an absolute path (of the tokenizer too where it has its own) and the digest of what a run reads.

    Raises:
        ConfigError: if something of it is missing, half-downloaded, of another architecture, or a pickle that
            `model.pickle` does not allow.
    """
    if model.path == RANDOM:
        recipe = [architecture.RECIPE, architecture.configs(model.architecture, model.shrink)]
        return replace(model, digest=json_digest(recipe))
    if model.path == TOY:
        path = ASSETS / "base"
        if not path.is_dir():
            raise ConfigError(f"{path} is missing. It ships with the package: install scoft-hpc again.")
    else:
        command = hub.download_command(model.path, model.revision, DOWNLOAD)
        path = hub.locate(model.path, "model.path", command, model.revision)
    if path.is_file():
        return _single_file(model, path)
    faults = list(_folder_faults(path, model.pickle))
    if model.shrink != 1:
        faults.append(f"model.shrink={model.shrink} is for random weights; expected 1")
    if faults:
        command = hub.download_command(model.path, model.revision, DOWNLOAD, path)
        raise ConfigError(
            f"model.path={model.path} ({path}) cannot be used: {'; '.join(faults)}{hub.incomplete_downloads(path)}. "
            f"Download it with {command} where there is a network."
        )
    if problem := _scheduler_fault(path):
        raise ConfigError(f"model.path={model.path} ({path}) cannot be used: {problem}.")
    return replace(model, path=str(path), digest=digest(path, _read_by_a_run(path)))


def scheduler(model: Model) -> SchedulerConfig:
    """The noise process of a resolved model.

    A folder says it in its scheduler_config.json. Random weights and single files carry no such file: theirs is the one
    that ships for `model.architecture`.

    Raises:
        ConfigError: if the folder's file asks for something that a run does not do.
    """
    path = Path(model.path)
    if model.path == RANDOM or path.is_file():
        return scheduler_config.parse(architecture.configs(model.architecture)["scheduler"])
    return scheduler_config.parse(read_json(path / "scheduler" / CONFIGS["scheduler"]))


def sampling_faults(model: Model, steps: Mapping[str, int]) -> Iterator[str]:
    """The settings (name: number of sampler steps) that ask for more steps than the resolved model has timesteps."""
    most = scheduler(model).num_train_timesteps - 1
    for name, count in steps.items():
        if count > most:
            yield f"{name}={count}: model.path={model.path} has {most + 1} timesteps; expected at most {most}."


def weight_files(part: Path) -> list[Path]:
    """A network's weights in its folder: one file, or those that an index names; pickles only where nothing else is."""
    for name in WEIGHTS[part.name]:
        if files := shards(part / name):
            return files
    return []


def _single_file(model: Model, path: Path) -> Model:
    if path.suffix == ".safetensors":
        fault = safetensors_header.problem(path)
        if fault is None and (
            problem := single_file.fault(safetensors_header.shapes(path), model.architecture, model.shrink)
        ):
            fault = f"cannot be used as model.architecture={model.architecture.name}: {problem}"
    elif path.suffix not in PICKLES:
        fault = (
            f"is no checkpoint; expected .safetensors, or one of {', '.join(PICKLES)} with model.pickle=true"
        )
    else:
        fault = _pickle_fault(path) if model.pickle else f"cannot be used: {PICKLE_REFUSED}"
    if fault is not None:
        raise ConfigError(f"model.path={path} {fault}.")
    tokenizer = locate(TOKENIZER, model.tokenizer)
    if problem := _tokenizer_fault(tokenizer):
        raise ConfigError(f"model.tokenizer={tokenizer}: it {problem}.")
    contents = [
        digest(path.parent, [path.name]),
        checkpoint_digest(TOKENIZER, tokenizer),
        architecture.configs(model.architecture, model.shrink),
    ]
    return replace(model, path=str(path), tokenizer=str(tokenizer), digest=json_digest(contents))


def _read_by_a_run(folder: Path) -> Iterator[str]:
    yield "model_index.json"
    for part in WEIGHTS:
        yield f"{part}/{CONFIGS[part]}"
        for shard in weight_files(folder / part):
            yield f"{part}/{shard.name}"
    for part in ("tokenizer", "scheduler"):
        for path in (folder / part).iterdir():
            if path.suffix in (".json", ".txt"):
                yield f"{part}/{path.name}"


def _folder_faults(folder: Path, pickle: bool) -> Iterator[str]:
    index = folder / "model_index.json"
    if not index.is_file() and (snapshots := sorted(folder.glob("snapshots/*/model_index.json"))):
        yield f"it is a download cache; give the snapshot in it, {snapshots[-1].parent}"
        return
    kind = read_json(index).get("_class_name")
    if not index.is_file():
        yield "model_index.json is missing"
    elif kind != PIPELINE:
        yield f"model_index.json says _class_name: {kind!r}; expected {PIPELINE!r}"
        return
    configs: dict[str, dict[str, Any]] = {}
    for part, name in CONFIGS.items():
        if not (folder / part).is_dir():
            yield f"{part}/ is missing"
            continue
        configs[part] = read_json(folder / part / name)
        if not configs[part]:
            yield f"{part}/{name} is missing or is not JSON"
        if part in WEIGHTS:
            yield from _weight_faults(folder / part, pickle)
    if all(configs.get(part) for part in architecture.CONFIGS):
        yield from _architecture_faults(configs)
    if (folder / "tokenizer").is_dir() and (problem := _tokenizer_fault(folder / "tokenizer")):
        yield f"tokenizer/ {problem}"


def _tokenizer_fault(folder: Path) -> str | None:
    names = {path.name for path in folder.iterdir()}
    if "tokenizer.json" in names or {"vocab.json", "merges.txt"} <= names:
        return None
    return "has neither tokenizer.json nor vocab.json with merges.txt"


def _architecture_faults(configs: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Where the parts are not those of one Stable Diffusion 1.x or 2.x."""
    unet, vae, text = configs["unet"], configs["vae"], configs["text_encoder"]
    for part, expected in CLASSES.items():
        config = configs[part]
        actual = config.get("_class_name") or next(iter(config.get("architectures") or ()), expected)
        if actual != expected:
            yield f"{part}/{CONFIGS[part]} is of a {actual}; expected {expected}"
    channels, latent = unet.get("in_channels", 4), vae.get("latent_channels", 4)
    if channels != latent:
        purpose = single_file.purpose(channels)
        yield f"the U-Net has {channels} input channels{purpose}; the latents have {latent}"
    across, width = unet.get("cross_attention_dim"), text.get("hidden_size")
    if across != width:
        hint = " (as Stable Diffusion XL's)" if across == 2048 else ""
        yield f"the U-Net attends to texts {across} wide{hint}; the text encoder's are {width}"


def _scheduler_fault(folder: Path) -> str | None:
    name = f"scheduler/{CONFIGS['scheduler']}"
    faults = list(scheduler_config.faults(read_json(folder / name)))
    if not faults:
        return None
    copy = (
        "; it is in the hub's download cache: copy the folder, change the copy and give it as model.path"
        if folder.parent.name == "snapshots"
        else ""
    )
    return f"in {name}, {'; '.join(faults)}{copy}"


def _weight_faults(part: Path, pickle: bool) -> Iterator[str]:
    files = weight_files(part)
    pickles = any(path.suffix in PICKLES for path in files)
    if files and (pickle or not pickles):
        for shard in files:
            fault = _pickle_fault(shard) if pickles else safetensors_header.problem(shard)
            if fault:
                yield f"{part.name}/{shard.name} {fault}"
        return
    names = sorted(p.name for p in part.iterdir() if p.suffix in (".safetensors", *PICKLES))
    others = f" ({', '.join(names)} found)" if names else ""
    if any(name.endswith(PICKLES) for name in names) and not any(n.endswith(".safetensors") for n in names):
        others += (
            f"; {PICKLE_REFUSED}" if not pickle else f"; as a pickle {WEIGHTS[part.name][1]} was expected"
        )
    yield f"{part.name}/{WEIGHTS[part.name][0]} is missing{others}"


def _pickle_fault(path: Path) -> str | None:
    """What is wrong with a checkpoint of torch.save, as far as is known without loading it."""
    if not path.is_file():
        return "is missing"
    with path.open("rb") as file:
        start = file.read(8)
    if start == b"version ":
        return "is a Git LFS pointer, not the weights: run `git lfs pull`"
    if start.startswith(b"PK"):
        return None if zipfile.is_zipfile(path) else "has no end: half-downloaded"
    return None if start.startswith(b"\x80") else "is no checkpoint of torch.save"
