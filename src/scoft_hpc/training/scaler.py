"""Loss scaling for fp16: each lane's loss is multiplied so that small gradients do not vanish on their way back."""

from __future__ import annotations

from dataclasses import dataclass

MIN_SCALE = 2.0**-4
"""Where not even this scale keeps the gradient finite, scaling is not what is wrong."""


@dataclass
class LossScale:
    """A lane's own scale: halved when its gradient overflows, doubled after `patience` updates without.

    Attributes:
        scale: a power of two, so that it changes no digit. good: updates since it last changed.

    Source: Micikevicius et al. 2018, section 3.2; the numbers are torch.amp.GradScaler's.
    """

    scale: float = 2.0**16
    updates_since_change: int = 0
    growth_interval: int = 2000

    def update(self, finite: bool) -> None:
        """After an update whose gradient was finite, or that was left out because it was not."""
        self.updates_since_change = self.updates_since_change + 1 if finite else 0
        if not finite:
            self.scale /= 2
        elif self.updates_since_change == self.growth_interval:
            self.scale, self.updates_since_change = self.scale * 2, 0
