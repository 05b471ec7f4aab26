"""How a family is guided: by a second call under the null text, or by a scale that the network takes as an input."""

from __future__ import annotations

from enum import Enum

from torch import Tensor

from scoft_hpc.models.conditioning import Conditioning


class Guidance(Enum):
    """What a guidance scale g does.

    classifier_free: out = null + g (caption - null), from two calls (Ho & Salimans 2022).
    embedded: one call whose conditioning carries g, as guidance-distilled models have it.
    """

    classifier_free = "classifier_free"
    embedded = "embedded"

    def conditioning(self, text: Conditioning, scale: float) -> Conditioning:
        """What the call under the text is conditioned on when it is guided."""
        return text.with_guidance(scale) if self is Guidance.embedded else text

    def gain(self, scale: float) -> float:
        """d (guided output) / d (output of the call under the text)."""
        return 1.0 if self is Guidance.embedded else scale

    def second(self, text: Conditioning, null: Conditioning, scale: float) -> Conditioning:
        """What `combine` needs a prediction under, given one under the plain text [N]."""
        return text.with_guidance(scale) if self is Guidance.embedded else null.expand(len(text))

    def combine(self, out: Tensor, second: Tensor, scale: float) -> Tensor:
        """The guided output of predictions under the plain text and under `second`."""
        return second if self is Guidance.embedded else second + scale * (out - second)
