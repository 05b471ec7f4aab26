"""The ways in which the base model draws negatives, by their source; each is a file."""

from __future__ import annotations

from collections.abc import Callable

from scoft_hpc.config.schema import Negatives, NegativeSource
from scoft_hpc.data.negatives.depth import Depth
from scoft_hpc.data.negatives.img2img import Img2Img
from scoft_hpc.data.negatives.txt2img import Txt2Img
from scoft_hpc.data.negatives.way import Way
from scoft_hpc.models.diffusion_model import DiffusionModel

SOURCES: dict[NegativeSource, Callable[[DiffusionModel, Negatives], Way]] = {
    NegativeSource.txt2img: Txt2Img,
    NegativeSource.img2img: Img2Img,
    NegativeSource.depth: Depth,
}
