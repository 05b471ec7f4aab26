"""An adapter as files: diffusers' form, and kohya's for ComfyUI and the A1111 web UI. Equal weights, equal bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from scoft_hpc.study import atomic

KOHYA = {"A": "lora_down", "B": "lora_up"}
FAMILIES = {768: "sd_v1", 1024: "sd_v2"}
"""kohya's word for a Stable Diffusion, by the width of its text states."""


def write(path: Path, weights: Mapping[str, Tensor], rank: int, alpha: float, targets: Sequence[str]) -> None:
    """Write the adapter as `StableDiffusionPipeline.load_lora_weights` reads it.

    The adapter's metadata goes with it: without, a file whose alpha is not its rank reloads at another scale. It holds
    empty patterns too, since diffusers 0.35 to 0.39 raise KeyError where a key is absent.

    Args:
        weights: `<layer>.lora_A.weight` [r, in] and `<layer>.lora_B.weight` [out, r], layers named as in the U-Net.
    """
    from diffusers import StableDiffusionPipeline

    metadata: dict[str, Any] = {
        "r": rank,
        "lora_alpha": int(alpha) if float(alpha).is_integer() else alpha,
        "rank_pattern": {},
        "alpha_pattern": {},
        "target_modules": list(targets),
        "lora_dropout": 0.0,
        "bias": "none",
    }
    with atomic.replacing(path) as temporary:
        StableDiffusionPipeline.save_lora_weights(
            temporary.parent,
            unet_lora_layers=cast(dict[str, nn.Module | Tensor], _own(weights)),
            weight_name=temporary.name,
            unet_lora_adapter_metadata=metadata,
        )
        _order_metadata(temporary)


def write_kohya(
    path: Path, weights: Mapping[str, Tensor], rank: int, alpha: float, name: str, family: str | None
) -> None:
    """Write the adapter with the keys of kohya-ss' sd-scripts (networks/lora.py), which ComfyUI and A1111 read.

    Args:
        weights: as in `write`.
        name: what the A1111 web UI calls the adapter.
        family: of the base, as `family` says it; None: not told in the file.
    """
    tensors: dict[str, Tensor] = {}
    for key, part in _own(weights).items():
        layer, _, letter = key.removesuffix(".weight").rpartition(".lora_")
        word = f"lora_unet_{layer.replace('.', '_')}"
        tensors[f"{word}.{KOHYA[letter]}.weight"] = part
        tensors[f"{word}.alpha"] = torch.tensor(float(alpha))
    metadata = {
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(rank),
        "ss_network_alpha": str(float(alpha)),
        "ss_output_name": name,
    }
    if family:
        metadata |= {"ss_base_model_version": family, "ss_v2": str(family.startswith("sd_v2"))}
    with atomic.replacing(path) as temporary:
        save_file(tensors, temporary, metadata)
        _order_metadata(temporary)


def family(unet: Any, velocity: bool) -> str | None:
    """kohya's word for the base: `sd_v1`, `sd_v2`, with `_v` for v-prediction; None for any other U-Net."""
    word = FAMILIES.get(unet.config.cross_attention_dim)
    return f"{word}_v" if word and velocity else word


def _own(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each in memory of its own, on the CPU, as safetensors wants them."""
    return {name: part.detach().to("cpu", copy=True).contiguous() for name, part in weights.items()}


def _order_metadata(path: Path) -> None:
    """Put the words of a safetensors file's header in order: they come in another one each time, and with them the
    file's hash. The format: the header's length in 8 bytes, the header as JSON (padded with spaces), the tensors.
    """
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    path.write_bytes(content[:8] + text.ljust(end - 8) + content[end:])
