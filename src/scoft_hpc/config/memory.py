"""The GPU memory that a pack takes, as a formula: how many lanes fit a GPU, and how many rows a pass of the U-Net.

At its fullest a pass holds the frozen networks; each lane's adapter with its gradient and AdamW's two moments; the
prepared cultures; the activations that the rows in the U-Net keep for their way back; and those of the picture that is
decoded and compared meanwhile. The constants are counted on the real networks, in elements of their tensors
(`python bench/memory.py`). Activations are in proportion to a picture's area, since SDPA builds no attention matrix.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from scoft_hpc.config.cluster import Cluster, Gpu, gpu_of
from scoft_hpc.config.schema import Architecture, Model, Precision, RunConfig

GB = 1e9
BYTES = {Precision.fp32: 4, Precision.fp16: 2, Precision.bf16: 2}
FP32 = 4

SD_GFLOP, SD_LATENT = 803.0, 64**2
"""Of a forward pass over one row in Stable Diffusion 1.x, and the pixels of that row's latent (512 px)."""
NETWORKS = {Architecture.sd1: 1066.2e6, Architecture.sd2_base: 1289.9e6, Architecture.sd2: 1289.9e6}
"""Parameters of U-Net, VAE and text encoder."""
ADAPTER = {"to_q": 49_920, "to_k": 49_728, "to_v": 49_728, "to_out.0": 49_920}
"""Parameters of a lane's adapter for each unit of rank, by the ends of the layers' names."""
ADAPTED = 4
"""Times the adapter: weights, gradient and two moments, in fp32."""
ROW, ROW_RANK = 100_500, 34
"""Elements that a row of the U-Net keeps for each pixel of its latent; the second for each unit of rank as well. A row
also keeps a copy of its lane's adapter."""
PICTURE = 372_500
"""Elements that decoding a picture and going back through the decoder hold for each pixel of its latent."""
VGG_PICTURE = 67_000
"""The same of VGG16 in fp32, the picture that it is compared to included."""


class Network(NamedTuple):
    """A distance's parameters, the elements that it holds for a picture, and those that it keeps of one; in fp32."""

    parameters: float
    picture: float
    kept: int = 0


DISTANCES = {
    "toy": Network(0.1e6, 1e6, 43_008),
    "dreamsim": Network(259e6, 90e6, 1792),
    "dino": Network(304e6, 66e6, 257 * 1024),
    "clip": Network(88e6, 77e6),
    "blip2": Network(1172e6, 153e6, 32 * 256),
    "vgg": Network(15e6, 0.0),
}
"""Counted at their own 224 pixels; VGG's, at the picture's size, is VGG_PICTURE."""

CONTEXT = 0.6
"""GB that CUDA and its libraries take before the first tensor [ours]."""
MARGIN = 1.1
"""For workspaces and the allocator's gaps [ours]."""
PASS = 12 * SD_GFLOP
"""GFLOP of a pass of the U-Net from which on more rows make no GPU faster [ours]."""
MOST = 32
"""Lanes of a pack at most."""
VARIANTS = 4
"""Lanes that share a culture: the ablation's trained variants."""
PAIRS = 150
"""Of a culture where nobody says: as CCUB's have."""


def lanes(config: RunConfig, gigabytes: float) -> int:
    """How many lanes like `config` a pack can have for an update's rows to fit the GPU in one pass.

    At least 1 wherever one lane fits with a single row at a time; 0 where not even that does.
    """
    for count in range(MOST, 0, -1):
        if needed(config, count, count * config.train.batch) <= gigabytes:
            return count
    return int(needed(config, 1, 1) <= gigabytes)


def rows(config: RunConfig, lanes: int, gigabytes: float) -> int:
    """How many rows of an update go through the U-Net at a time: as many as fit, and no more than keep a GPU busy.

    They are shared out evenly to the update's passes. At least 1, whether it fits or not.
    """
    every = lanes * config.train.batch
    most = max(1, min(every, math.floor(PASS / _gflop(config.model))))
    fitting = next((count for count in range(most, 1, -1) if needed(config, lanes, count) <= gigabytes), 1)
    return math.ceil(every / math.ceil(every / fitting))


def pictures(rows: int | None) -> int | None:
    """How many rollouts are decoded at a time where so many rows go through the U-Net at a time; None: all.

    One, once memory counts: a full-size picture keeps a GPU busy, and takes as much as four rows.
    """
    return None if rows is None else 1


def needed(config: RunConfig, lanes: int, rows: int) -> float:
    """GB of the GPU that a pack of lanes like `config` takes, with so many rows at a time."""
    return CONTEXT + MARGIN * (tensors(config, lanes, rows) + math.ceil(lanes / VARIANTS) * cache_gb(config))


def tensors(config: RunConfig, lanes: int, rows: int) -> float:
    """GB of a pack's tensors at its fullest: `rows` in the U-Net and one picture in the decoder; no cultures."""
    model, size = config.model, BYTES[config.model.precision]
    width, area, rank = _width(model), _area(model), config.lora.rank
    adapter = width * rank * sum(ADAPTER.get(end, max(ADAPTER.values())) for end in config.lora.targets)
    row = width * area * (ROW + ROW_RANK * rank) + adapter
    frozen = width**2 * NETWORKS[model.architecture]
    picture = width * area * PICTURE
    compared = DISTANCES[config.objective.distance]
    looking = compared.parameters + compared.picture
    if config.objective.w_vgg or config.objective.distance == "vgg":
        looking += DISTANCES["vgg"].parameters + area * VGG_PICTURE
    return (size * (frozen + rows * row + picture) + FP32 * (lanes * ADAPTED * adapter + looking)) / GB


def cache_gb(config: RunConfig, pairs: int | None = None) -> float:
    """GB that a prepared culture takes, on the disk and on the GPU: moments, text states, pictures and targets.

    Args:
        pairs: of the culture; None: `data.pairs`, or as many as CCUB's cultures have.
    """
    area, shown = _area(config.model), 1 + config.data.negatives.per_positive
    states = 77 * (768 if config.model.architecture is Architecture.sd1 else 1024) / config.model.shrink
    moments = 2 * 2 * 4 * area
    targets = 2 * shown * DISTANCES[config.objective.distance].kept
    pair = FP32 * (moments + 2 * states + targets) + shown * 3 * 64 * area
    return (pairs or config.data.pairs or PAIRS) * pair / GB


def check(config: RunConfig, cluster: Cluster) -> list[str]:
    """Why a run cannot work on the cluster's GPU, as sentences; empty if it can, or if nothing is known of the GPU."""
    if config.device == "cpu" or not cluster.gpus:
        return []
    name = cluster.gpu or next(iter(cluster.gpus))
    return list(_faults(config, cluster, name, gpu_of(cluster)[1]))


def _faults(config: RunConfig, cluster: Cluster, name: str, gpu: Gpu) -> Iterator[str]:
    model, others = (
        config.model,
        {key: gpu_of(replace(cluster, gpu=key))[1] for key in cluster.gpus if key != name},
    )
    if model.precision is Precision.bf16 and not gpu.bf16:
        able = [f"cluster.gpu={key}" for key, other in others.items() if other.bf16]
        yield f"model.precision=bf16: {name} cannot compute in bf16; take {_or('model.precision=fp16', *able)}."
    if gpu.vram_gb is not None and (least := needed(config, 1, 1)) > gpu.vram_gb:
        larger = [f"cluster.gpu={key}" for key, other in others.items() if (other.vram_gb or 0) >= least]
        smaller = "a smaller model.resolution"
        lighter = ["model.precision=fp16"] if model.precision is Precision.fp32 else []
        yield (
            f"model={model.name} at {model.resolution} px in {model.precision.name} takes about {least:.1f} GB with "
            f"one lane and one row at a time, {name} has {gpu.vram_gb:g}; take {_or(*lighter, smaller, *larger)}."
        )


def _or(*options: str) -> str:
    return " or ".join(options)


def _area(model: Model) -> int:
    """Pixels of a latent."""
    return (model.resolution // 8) ** 2


def _width(model: Model) -> float:
    """The widths of the layers beside Stable Diffusion's; of a far smaller network, by its operations."""
    share = (model.gflop or SD_GFLOP) / SD_GFLOP
    small = math.sqrt(share * SD_LATENT / _area(model)) if share < 0.1 else 1.0
    return small / model.shrink


def _gflop(model: Model) -> float:
    """Of a forward pass of the U-Net over one row."""
    return SD_GFLOP * _area(model) / SD_LATENT * _width(model) ** 2
