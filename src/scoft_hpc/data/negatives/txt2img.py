"""Negatives drawn from the caption alone; our own way, the simplest."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from scoft_hpc.config.schema import Negatives
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.sampler import sample


@dataclass(frozen=True)
class Txt2Img:
    base: DiffusionModel
    settings: Negatives

    def __call__(self, x: Tensor, text: Conditioning, null: Conditioning, noise: Tensor) -> Tensor:
        steps, guidance = self.settings.steps, self.settings.guidance
        return sample(self.base, text, null, noise, steps=steps, guidance=guidance)
