"""What the networks of a base model cost, in operations and in memory: one row per architecture.

Packing, prices and the memory formula read these figures and have none of their own. The operations are counted by
`bench/flops.py` on tensors without content and compared by `tests/bench/test_flops.py`; the elements by
`bench/memory.py`. A FLOP is one addition or one multiplication, of convolutions and matrix products only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from scoft_hpc.config.schema import Architecture, Model


@dataclass(frozen=True)
class ModelCosts:
    """Costs of one architecture, for one row: one latent, or one image, at the native resolution.

    Attributes:
        resolution: the native one, in pixels.
        denoiser: GFLOP of a forward pass of the U-Net.
        attention: the part of `denoiser` that grows with the square of the image's area; the rest grows with the area.
        denoiser_lora: GFLOP of a forward pass with an adapter of rank 64.
        denoiser_backward: GFLOP of the backward pass to that adapter.
        encode, decode, decode_backward: GFLOP of the passes of the VAE.
        text: GFLOP of the text encoder, for one caption.
        controlnet: GFLOP of a depth ControlNet of this architecture.
        parameters: of U-Net, VAE and text encoder together.
        adapter: parameters of an adapter for each unit of rank, by the end of the layers' names.
        row: elements that a row keeps for the backward pass, for each pixel of its latent.
        row_per_rank: the same for each unit of rank. A row also keeps a copy of its lane's adapter.
        image: elements that decoding an image and going back through the decoder hold, for each pixel of its latent.
        latent_channels: of the latent. downscale: pixels of an image along one pixel of its latent.
        text_elements: of a caption's text states.
    """

    resolution: int
    denoiser: float
    attention: float
    denoiser_lora: float
    denoiser_backward: float
    encode: float
    decode: float
    decode_backward: float
    text: float
    controlnet: float
    parameters: float
    adapter: Mapping[str, int]
    row: int
    row_per_rank: int
    image: int
    latent_channels: int
    downscale: int
    text_elements: int

    def latent_area(self, resolution: int) -> int:
        """Pixels of the latent of an image with sides of `resolution` pixels."""
        return (resolution // self.downscale) ** 2

    def passes(self, gflop: float) -> float:
        """So many GFLOP in forward passes of the U-Net over one row, the unit in which work is counted."""
        return gflop / self.denoiser


_SD1 = ModelCosts(
    resolution=512,
    denoiser=803.0,
    attention=122.5,
    denoiser_lora=822.0,
    denoiser_backward=944.0,  # 943.5
    encode=1117.0,
    decode=2515.0,
    decode_backward=2549.0,
    text=13.0,
    controlnet=283.0,
    parameters=1066.2e6,
    adapter={"to_q": 49_920, "to_k": 49_728, "to_v": 49_728, "to_out.0": 49_920},
    row=100_500,
    row_per_rank=34,
    image=372_500,
    latent_channels=4,
    downscale=8,
    text_elements=77 * 768,
)
_SD2_BASE = replace(
    _SD1,
    denoiser=804.0,
    denoiser_lora=823.0,
    text=45.0,
    controlnet=284.0,
    parameters=1289.9e6,
    adapter={"to_q": 49_920, "to_k": 53_824, "to_v": 53_824, "to_out.0": 49_920},
    text_elements=77 * 1024,
)
_SD2 = replace(
    _SD2_BASE,
    resolution=768,
    denoiser=2149.0,
    attention=620.0,
    denoiser_lora=2190.0,
    denoiser_backward=2811.0,
    encode=2609.0,
    decode=5754.0,
    decode_backward=5928.0,
    controlnet=774.0,
)
COSTS = {Architecture.sd1: _SD1, Architecture.sd2_base: _SD2_BASE, Architecture.sd2: _SD2}
"""The toy model has no row: it counts as `sd1` scaled to the `model.gflop` that `conf/model/toy.yaml` gives it."""

DEPTH_GFLOP = 516.0
"""A pass of DPT-large over one image at its own 384 px, whatever the base model."""

SMALL = 0.1
"""A network with fewer operations than this share of its architecture's has narrower layers, not a smaller image."""


def costs_of(model: Model) -> ModelCosts:
    """The costs of the model's architecture at full width and at its native resolution."""
    return COSTS[model.architecture]


def denoiser_gflop(model: Model) -> float:
    """GFLOP of a forward pass of the U-Net over one row: `model.gflop`, or as counted for its architecture, scaled to
    the model's resolution and width.
    """
    if model.gflop is not None:
        return model.gflop
    costs = costs_of(model)
    area = (model.resolution / costs.resolution) ** 2
    full_width = (costs.denoiser - costs.attention) * area + costs.attention * area**2
    return full_width / model.shrink**2


def relative_width(model: Model) -> float:
    """The widths of the model's layers as a share of its architecture's; by its operations, if it has far fewer."""
    costs = costs_of(model)
    share = (model.gflop or costs.denoiser) / costs.denoiser
    native = costs.latent_area(costs.resolution)
    small = math.sqrt(share * native / costs.latent_area(model.resolution)) if share < SMALL else 1.0
    return small / model.shrink
