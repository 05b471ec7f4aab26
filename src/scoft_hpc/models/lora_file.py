"""An adapter as files: diffusers' form, and kohya's for ComfyUI and the A1111 web UI. Equal weights, equal bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.loaders.lora_base import LORA_ADAPTER_METADATA_KEY
from safetensors.torch import save
from torch import Tensor

from scoft_hpc.study import atomic

KOHYA = {"A": "lora_down", "B": "lora_up"}


@dataclass(frozen=True)
class AdapterFormat:
    """How the adapter files of a family name its layers.

    Attributes:
        prefix: of the keys in diffusers' form: the denoiser's part of the pipeline, such as `unet`.
        kohya_prefix: of the keys in sd-scripts' form; None where no program reads them.
        kohya_version: sd-scripts' name of the base; None: not written to the file.
    """

    prefix: str
    kohya_prefix: str | None = None
    kohya_version: str | None = None


def write(
    path: Path,
    weights: Mapping[str, Tensor],
    rank: int,
    alpha: float,
    targets: Sequence[str],
    files: AdapterFormat,
) -> None:
    """Write the adapter as `load_lora_weights` of the family's pipeline in diffusers reads it.

    The adapter's metadata goes with it: without, a file whose alpha is not its rank reloads at another scale. It holds
    empty patterns too, since diffusers 0.35 to 0.39 raise KeyError where a key is absent.

    Args:
        weights: `<layer>.lora_A.weight` [r, in] and `<layer>.lora_B.weight` [out, r], layers named as in the denoiser.
    """
    metadata: dict[str, Any] = {
        "r": rank,
        "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
        "rank_pattern": {},
        "alpha_pattern": {},
        "target_modules": list(targets),
        "lora_dropout": 0.0,
        "bias": "none",
    }
    named = {f"{files.prefix}.{key}": value for key, value in metadata.items()}
    tensors = {f"{files.prefix}.{name}": part for name, part in _copies(weights).items()}
    header = {"format": "pt", LORA_ADAPTER_METADATA_KEY: json.dumps(named, indent=2, sort_keys=True)}
    _save(path, tensors, header)


def write_kohya(
    path: Path, weights: Mapping[str, Tensor], rank: int, alpha: float, name: str, files: AdapterFormat
) -> None:
    """Write the adapter with the keys of kohya-ss' sd-scripts (networks/lora.py), which ComfyUI and A1111 read.

    Args:
        weights: as in `write`.
        name: what the A1111 web UI calls the adapter.

    Raises:
        ValueError: for a family that has no such form.
    """
    if files.kohya_prefix is None:
        raise ValueError("no program reads this family's adapters in sd-scripts' form")
    tensors: dict[str, Tensor] = {}
    for key, part in _copies(weights).items():
        layer, _, letter = key.removesuffix(".weight").rpartition(".lora_")
        layer_key = f"{files.kohya_prefix}_{layer.replace('.', '_')}"
        tensors[f"{layer_key}.{KOHYA[letter]}.weight"] = part
        tensors[f"{layer_key}.alpha"] = torch.tensor(float(alpha))
    metadata = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(float(alpha)),
        "ss_output_name": name,
    }
    if version := files.kohya_version:
        metadata |= {"ss_base_model_version": version, "ss_v2": str(version.startswith("sd_v2"))}
    _save(path, tensors, metadata)


def _copies(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A contiguous copy of each on the CPU, as safetensors needs them."""
    return {name: part.detach().to("cpu", copy=True).contiguous() for name, part in weights.items()}


def _save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file with sorted metadata: their order differs from save to save, and with it the hash.

    The format: the header's length in 8 bytes, the header as JSON (padded with spaces), the tensors.
    """
    content: bytes = save(dict(tensors), dict(metadata))
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    atomic.write_bytes(path, content[:8] + text.ljust(end - 8) + content[end:])
