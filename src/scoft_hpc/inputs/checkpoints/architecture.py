"""What Stable Diffusion 1.x and 2.x are made of: the public configs of their networks, which ship in `architectures/`.

An architecture may be shrunk: every width is divided by a number and rounded to what the layers allow, so that the
same classes with the same layers fit a small machine. Depths, the latent's 4 channels, the VAE's factor 8, the
vocabulary and the 77 tokens stay.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scoft_hpc.config.schema import Architecture

CONFIGS = {
    "unet": "config.json",
    "vae": "config.json",
    "text_encoder": "config.json",
    "scheduler": "scheduler_config.json",
}
"""The file of each part in diffusers' layout."""

GROUPS = 32
"""Of the networks' group norms: a convolution's width is a multiple."""

HEAD = 64
"""The width of an attention head of the text encoder, and of a 2.x U-Net; a 1.x U-Net has 8 heads of any width."""

RECIPE = 1
"""Of the random weights that `models.random_weights` gives an architecture; another number means other weights."""

Configs = dict[str, dict[str, Any]]


def folder(architecture: Architecture) -> Path:
    """The configs that ship, in diffusers' layout."""
    return Path(__file__).with_name("architectures") / architecture.name


def configs(architecture: Architecture, shrink: int = 1) -> Configs:
    """The configs by part, their widths divided by `shrink`."""
    read = {
        part: json.loads((folder(architecture) / part / name).read_text()) for part, name in CONFIGS.items()
    }
    if shrink == 1:
        return read
    unet, vae, text = read["unet"], read["vae"], read["text_encoder"]
    for network in (unet, vae):
        network["block_out_channels"] = [_legal(c / shrink, GROUPS) for c in network["block_out_channels"]]
    if isinstance(unet["attention_head_dim"], list):
        unet["attention_head_dim"] = [max(1, c // HEAD) for c in unet["block_out_channels"]]
    widening = text["intermediate_size"] // text["hidden_size"]
    width = _legal(text["hidden_size"] / shrink, HEAD)
    text |= {
        "hidden_size": width,
        "intermediate_size": widening * width,
        "num_attention_heads": width // HEAD,
        "projection_dim": width,
    }
    unet["cross_attention_dim"] = width
    return read


def write(architecture: Architecture, shrink: int, target: Path) -> None:
    """Lay the configs out in `target` as diffusers reads them."""
    index = (folder(architecture) / "model_index.json").read_text()
    (target / "model_index.json").write_text(index)
    for part, config in configs(architecture, shrink).items():
        (target / part).mkdir()
        (target / part / CONFIGS[part]).write_text(json.dumps(config))


def _legal(width: float, multiple: int) -> int:
    """The multiple nearest to a width, and at least one."""
    return max(multiple, round(width / multiple) * multiple)
