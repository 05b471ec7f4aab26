"""The GPU memory that a pack takes, as a formula: how many lanes fit a GPU, and how many rows a pass of the U-Net.

At its fullest a pass holds the frozen networks; each lane's adapter with its gradient and AdamW's two moments; the
prepared cultures; the activations that the rows in the U-Net keep for the backward pass; and those of the image that is
decoded and compared meanwhile. The base model's figures are in `inputs.model_costs`. All are counted on the real
networks, in elements of their tensors (`python bench/memory.py`). Activations are proportional to an image's area,
since SDPA builds no attention matrix.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from scoft_hpc.config.cluster import Cluster, Gpu, gpu_of
from scoft_hpc.config.schema import Architecture, Precision, RunConfig
from scoft_hpc.inputs.model_costs import COSTS, costs_of, denoiser_gflop, relative_width

GB = 1e9
BYTES = {Precision.fp32: 4, Precision.fp16: 2, Precision.bf16: 2}
FP32 = 4

ADAPTER_COPIES = 4
"""Tensors of the adapter's size: weights, gradient and two moments, in fp32."""
VGG_IMAGE = 67_000
"""Elements that VGG16 holds in fp32 for each pixel of a latent, the image that it is compared to included."""


class DistanceMemory(NamedTuple):
    """A distance's parameters, the elements that it holds for an image, and those that it caches of one; in fp32."""

    parameters: float
    image: float
    cached: int = 0


DISTANCES = {
    "toy": DistanceMemory(0.1e6, 1e6, 43_008),
    "dreamsim": DistanceMemory(259e6, 90e6, 1792),
    "dino": DistanceMemory(304e6, 66e6, 257 * 1024),
    "clip": DistanceMemory(88e6, 77e6),
    "blip2": DistanceMemory(1172e6, 153e6, 32 * 256),
    "vgg": DistanceMemory(15e6, 0.0),
}
"""Counted at their own 224 pixels; VGG's, at the image's size, is VGG_IMAGE."""

CUDA_CONTEXT_GB = 0.6
"""GB that CUDA and its libraries take before the first tensor [ours]."""
MARGIN = 1.1
"""For workspaces and the allocator's gaps [ours]."""
SATURATING_GFLOP = 12 * COSTS[Architecture.sd1].denoiser
"""GFLOP of a pass of the U-Net from which on more rows make no GPU faster [ours]."""
MAX_LANES = 32
"""Lanes of a pack at most."""
LANES_PER_CULTURE = 4
"""Lanes that share a culture: the ablation's trained variants."""
DEFAULT_PAIRS = 150
"""Pairs of a culture whose number is not known: as many as CCUB's cultures have."""


def max_lanes(config: RunConfig, gigabytes: float) -> int:
    """How many lanes like `config` a pack can have for an update's rows to fit the GPU in one pass.

    At least 1 wherever one lane fits with a single row at a time; 0 where not even that does.
    """
    for count in range(MAX_LANES, 0, -1):
        if required_gb(config, count, count * config.train.batch) <= gigabytes:
            return count
    return int(required_gb(config, 1, 1) <= gigabytes)


def rows_per_pass(config: RunConfig, lanes: int, gigabytes: float) -> int:
    """How many rows of an update go through the U-Net at a time: as many as fit, and no more than keep a GPU busy.

    They are shared out evenly to the update's passes. At least 1, whether it fits or not.
    """
    total = lanes * config.train.batch
    useful = max(1, min(total, math.floor(SATURATING_GFLOP / denoiser_gflop(config.model))))
    fitting = next((n for n in range(useful, 1, -1) if required_gb(config, lanes, n) <= gigabytes), 1)
    return math.ceil(total / math.ceil(total / fitting))


def images_per_decode(rows: int | None) -> int | None:
    """How many rollouts are decoded at a time where so many rows go through the U-Net at a time; None: all.

    One, once memory counts: a full-size image keeps a GPU busy, and takes as much as four rows.
    """
    return None if rows is None else 1


def required_gb(config: RunConfig, lanes: int, rows: int) -> float:
    """GB of the GPU that a pack of lanes like `config` takes, with so many rows at a time."""
    cultures = math.ceil(lanes / LANES_PER_CULTURE)
    return CUDA_CONTEXT_GB + MARGIN * (tensors_gb(config, lanes, rows) + cultures * cache_gb(config))


def tensors_gb(config: RunConfig, lanes: int, rows: int) -> float:
    """GB of a pack's tensors at its fullest: `rows` in the U-Net and one image in the decoder; no cultures."""
    model, costs, rank = config.model, costs_of(config.model), config.lora.rank
    size, width, area = BYTES[model.precision], relative_width(model), costs.latent_area(model.resolution)
    widest = max(costs.adapter.values())
    adapter = width * rank * sum(costs.adapter.get(end, widest) for end in config.lora.targets)
    row = width * area * (costs.row + costs.row_per_rank * rank) + adapter
    frozen = width**2 * costs.parameters
    image = width * area * costs.image
    distance = DISTANCES[config.objective.distance]
    compared = distance.parameters + distance.image
    if config.objective.w_vgg or config.objective.distance == "vgg":
        compared += DISTANCES["vgg"].parameters + area * VGG_IMAGE
    return (size * (frozen + rows * row + image) + FP32 * (lanes * ADAPTER_COPIES * adapter + compared)) / GB


def cache_gb(config: RunConfig, pairs: int | None = None) -> float:
    """GB that a prepared culture takes, on the disk and on the GPU: moments, text states, images and targets.

    Args:
        pairs: of the culture; None: `data.pairs`, or DEFAULT_PAIRS.
    """
    costs, images = costs_of(config.model), 1 + config.data.negatives.per_positive
    area = costs.latent_area(config.model.resolution)
    states = costs.text_elements / config.model.shrink
    moments = 2 * 2 * costs.latent_channels * area
    targets = 2 * images * DISTANCES[config.objective.distance].cached
    pair = FP32 * (moments + 2 * states + targets) + images * 3 * costs.downscale**2 * area
    return (pairs or config.data.pairs or DEFAULT_PAIRS) * pair / GB


def check_gpu(config: RunConfig, cluster: Cluster) -> list[str]:
    """Why a run cannot work on the cluster's GPU, as sentences; empty if it can, or if nothing is known of the GPU."""
    if config.device == "cpu" or not cluster.gpus:
        return []
    name = cluster.gpu or next(iter(cluster.gpus))
    return list(_faults(config, cluster, name, gpu_of(cluster)[1]))


def _faults(config: RunConfig, cluster: Cluster, name: str, gpu: Gpu) -> Iterator[str]:
    model = config.model
    others = {key: gpu_of(replace(cluster, gpu=key))[1] for key in cluster.gpus if key != name}
    if model.precision is Precision.bf16 and not gpu.bf16:
        able = [f"cluster.gpu={key}" for key, other in others.items() if other.bf16]
        yield f"model.precision=bf16: {name} cannot compute in bf16; take {_or('model.precision=fp16', *able)}."
    if gpu.vram_gb is not None and (least := required_gb(config, 1, 1)) > gpu.vram_gb:
        larger = [f"cluster.gpu={key}" for key, other in others.items() if (other.vram_gb or 0) >= least]
        smaller = "a smaller model.resolution"
        lighter = ["model.precision=fp16"] if model.precision is Precision.fp32 else []
        yield (
            f"model={model.name} at {model.resolution} px in {model.precision.name} takes about {least:.1f} GB with "
            f"one lane and one row at a time, {name} has {gpu.vram_gb:g}; take {_or(*lighter, smaller, *larger)}."
        )


def _or(*options: str) -> str:
    return " or ".join(options)
