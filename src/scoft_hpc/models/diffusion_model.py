"""What training, negatives and sampling know of a base model, whatever family it is of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from scoft_hpc.config.schema import Lora, Precision
from scoft_hpc.diffusion.noise_process import NoiseProcess
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.guidance import Guidance
from scoft_hpc.models.lora import LoraStack

DTYPES = {Precision.fp32: torch.float32, Precision.fp16: torch.float16, Precision.bf16: torch.bfloat16}


class LatentSampler(Protocol):
    """A solver for one batch of images, from noise to clean latents; it may keep what it has seen.

    Attributes:
        times: of its calls [S], as `DiffusionModel.predict` takes them; at the first one the latents are noise.
    """

    times: Tensor

    def add_noise(self, z_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """Clean latents [N, C, h, w] noised as far as t, one of `times`: to start from an image."""
        ...

    def step(self, out: Tensor, t: Tensor, z: Tensor) -> Tensor:
        """The latents after the call at t, given its guided output."""
        ...


class DiffusionModel(Protocol):
    """A frozen base model with the adapters of a pack.

    Latents are normalised: what the denoiser sees, [N, C, h, w]. What goes in is cast to the networks' own type and
    what comes out is fp32, so that solvers, losses and adapters are fp32 in any case.

    Attributes:
        lora: the adapters in the denoiser; None until `adapt` puts them there.
        device: where the networks are; times stay on the host.
    """

    lora: LoraStack | None

    @property
    def device(self) -> torch.device: ...

    @property
    def process(self) -> NoiseProcess: ...

    @property
    def guidance(self) -> Guidance: ...

    def latent_shape(self, resolution: int) -> tuple[int, int, int]:
        """(C, h, w) of the latents of square images with so many pixels a side."""
        ...

    def encode_text(self, texts: Sequence[str]) -> Conditioning:
        """The conditioning of N texts; the empty text is the null of classifier-free guidance."""
        ...

    def encode_images(self, x: Tensor) -> Tensor:
        """Mean and standard deviation of the latents of images x [N, 3, H, W] in [-1, 1]: [N, 2, C, h, w]."""
        ...

    def decode(self, z_0: Tensor) -> Tensor:
        """Images [N, 3, H, W], about in [-1, 1] and not clamped, of latents [N, C, h, w]; gradients flow."""
        ...

    def predict(
        self, z_t: Tensor, t: Tensor, conditioning: Conditioning, lane: Tensor | None = None
    ) -> Tensor:
        """The denoiser's output [N, C, h, w]; row i through the adapter lane[i], or the base alone without `lane`."""
        ...

    def sampler(self, steps: int) -> LatentSampler:
        """A new solver with so many calls."""
        ...

    def adapt(self, lanes: int, lora: Lora) -> LoraStack:
        """Put adapters for so many lanes into the denoiser: `lora`, which is returned.

        Raises:
            ConfigError: if `lora.targets` name no layer of it.
        """
        ...


def predict_guided(
    model: DiffusionModel,
    z_t: Tensor,
    t: Tensor,
    text: Conditioning,
    null: Conditioning,
    scale: float,
    lane: Tensor | None = None,
) -> Tensor:
    """The guided output [N, C, h, w], in one call of the network.

    Args:
        z_t: [N, C, h, w]; t: [N].
        text: conditioning of the texts [N]; null: of the empty text [1].
        lane: the adapter of each row [N]; None for the base model alone.
    """
    if model.guidance is Guidance.embedded:
        return model.predict(z_t, t, text.with_guidance(scale), lane)
    both = Conditioning.cat([text, null.expand(len(text))])
    out, unguided = model.predict(
        z_t.repeat(2, 1, 1, 1), t.repeat(2), both, None if lane is None else lane.repeat(2)
    ).chunk(2)
    return Guidance.classifier_free.combine(out, unguided, scale)
