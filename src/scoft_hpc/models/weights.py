"""The base model's folder: found, checked for what a run reads, and given a digest; nothing is loaded."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scoft_hpc.config.schema import Model
from scoft_hpc.errors import ConfigError

PIPELINE = "StableDiffusionPipeline"
WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}
CONFIGS = {
    "unet": "config.json",
    "vae": "config.json",
    "text_encoder": "config.json",
    "tokenizer": "tokenizer_config.json",
    "scheduler": "scheduler_config.json",
}
PICKLES = (".bin", ".ckpt", ".pt", ".pth")


def locate(model: Model) -> Path:
    """The model's folder, absolute, with all that a run reads from it in place; `toy` is the one that ships.

    Raises:
        ConfigError: if it is missing, is not a whole Stable Diffusion in diffusers' layout, or holds pickles.
    """
    if model.path == "toy":
        folder = Path(__file__).resolve().parents[1] / "toy" / "assets" / "base"
        remedy = "It ships with the package: install scoft-hpc again."
    else:
        folder = Path(model.path).expanduser().absolute()
        remedy = f"Fetch it again, such as with `hf download OWNER/NAME --local-dir {folder}`."
    if not folder.is_dir():
        raise ConfigError(
            _absent(model.path, folder) if model.path != "toy" else f"{folder} is missing. {remedy}"
        )
    faults = list(_faults(folder))
    if faults:
        broken_off = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.incomplete"))
        if broken_off:
            faults.append(f"a download was broken off: {', '.join(broken_off)}")
        raise ConfigError(f"model.path={folder} cannot be used: {'; '.join(faults)}. {remedy}")
    return folder


def digest(folder: Path) -> str:
    """16 hex digits of a SHA-256 over the names and bytes of the configs and weights that a run reads."""
    total = hashlib.sha256()
    for name in sorted(_read_by_a_run(folder)):
        with (folder / name).open("rb") as file:
            total.update(f"{name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return total.hexdigest()[:16]


def _read_by_a_run(folder: Path) -> Iterator[str]:
    yield "model_index.json"
    for part, weights in WEIGHTS.items():
        yield f"{part}/{CONFIGS[part]}"
        for shard in _shards(folder / part / weights):
            yield f"{part}/{shard.name}"
    for part in ("tokenizer", "scheduler"):
        for path in (folder / part).iterdir():
            if path.suffix in (".json", ".txt"):
                yield f"{part}/{path.name}"


def _absent(given: str, folder: Path) -> str:
    text = f"model.path={given}: the folder {folder} does not exist. "
    if given.count("/") == 1 and not given.startswith((".", "/", "~")):
        name = given.split("/")[1]
        return text + (
            f"Nothing is downloaded in a run: `hf download {given} --local-dir models/{name}` "
            f"where there is a network, then model.path=models/{name}."
        )
    return text + f"Expected a {PIPELINE} in diffusers' layout (model_index.json, unet/, …), or the word toy."


def _faults(folder: Path) -> Iterator[str]:
    index = folder / "model_index.json"
    if not index.is_file() and (snapshots := sorted(folder.glob("snapshots/*/model_index.json"))):
        yield f"it is a download cache; give the snapshot in it, {snapshots[-1].parent}"
        return
    kind = _json(index).get("_class_name")
    if not index.is_file():
        yield "model_index.json is missing"
    elif kind != PIPELINE:
        yield f"model_index.json says _class_name: {kind!r}; expected {PIPELINE!r}"
    for part, config in CONFIGS.items():
        if not (folder / part).is_dir():
            yield f"{part}/ is missing"
            continue
        if not _json(folder / part / config):
            yield f"{part}/{config} is missing or is not JSON"
        if part in WEIGHTS:
            yield from _weight_faults(folder / part, WEIGHTS[part])
    tokenizer = folder / "tokenizer"
    names = {path.name for path in tokenizer.iterdir()} if tokenizer.is_dir() else {"tokenizer.json"}
    if "tokenizer.json" not in names and not {"vocab.json", "merges.txt"} <= names:
        yield "tokenizer/ has neither tokenizer.json nor vocab.json with merges.txt"


def _weight_faults(part: Path, name: str) -> Iterator[str]:
    shards = _shards(part / name)
    for shard in shards:
        if fault := _safetensors_fault(shard):
            yield f"{part.name}/{shard.name} {fault}"
    if shards:
        return
    found = sorted(p.name for p in part.iterdir() if p.suffix in (".safetensors", *PICKLES))
    others = f" ({', '.join(found)} found)" if found else ""
    if any(name.endswith(PICKLES) for name in found) and not any(n.endswith(".safetensors") for n in found):
        others += "; a pickle can run code when it is loaded and is refused: fetch or convert to safetensors"
    yield f"{part.name}/{name} is missing{others}"


def _shards(path: Path) -> list[Path]:
    """The weights in one file, or those that the index of a sharded file names; empty if there is neither."""
    if path.is_file():
        return [path]
    names = _json(path.with_name(f"{path.name}.index.json")).get("weight_map", {})
    if not isinstance(names, dict):
        return []
    return [path.with_name(Path(str(name)).name) for name in sorted(set(names.values()))]


def _safetensors_fault(path: Path) -> str | None:
    """What is wrong with a file, judged by its header alone: its length, against what the header promises."""
    if not path.is_file():
        return "is missing"
    with path.open("rb") as file:
        start = file.read(8)
        if start == b"version ":
            return "is a Git LFS pointer, not the weights: run `git lfs pull`"
        size = path.stat().st_size
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(100_000_000, size - 8):
            return "is not a safetensors file, or only its beginning"
        try:
            header = json.loads(file.read(length))
            ends = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            return "is not a safetensors file"
    return None if size == expected else f"has {size:,} bytes of {expected:,}: half-downloaded"


def _json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}
