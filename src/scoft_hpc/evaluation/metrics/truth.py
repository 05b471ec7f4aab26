"""The toy world's truth: what its scorer reads off each sample."""

from __future__ import annotations

import torch
from torch import Tensor

from scoft_hpc.evaluation.metrics.measure import Measure, mean_of
from scoft_hpc.inputs.toy.scenes import own_style
from scoft_hpc.models.toy_networks import Scorer

DEFAULT_STYLE = 0
"""The index of the style that the toy world's web, and so its base, falls back on."""
PIXELS = 64


@torch.no_grad()
def truth(scorer: Scorer, samples: Tensor, culture: str, subjects: Tensor) -> dict[str, Measure]:
    """Shares of samples [N, 3, H, W] in the culture's own style (`in_style`), in the style that the base falls back
    on (`default_style`), and that show what their prompt names (`subject`; subjects [N] index into SUBJECTS)."""
    if samples.shape[-1] != PIXELS:
        samples = torch.nn.functional.interpolate(
            samples, size=(PIXELS, PIXELS), mode="bilinear", antialias=True
        )
    readings = [scorer(part) for part in samples.split(64)]
    style = torch.cat([reading.style for reading in readings]).argmax(1)
    shown = torch.cat([reading.subject for reading in readings]).argmax(1)
    found = {
        "default_style": style == DEFAULT_STYLE,
        "in_style": style == own_style(culture),
        "subject": shown == subjects.to(shown.device),
    }
    return {name: mean_of(each.double(), n=len(each)) for name, each in found.items()}
