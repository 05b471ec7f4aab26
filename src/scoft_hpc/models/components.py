"""What a base model is loaded as, wherever it comes from."""

from __future__ import annotations

from typing import Any, NamedTuple

from scoft_hpc.config.schema import Architecture

PAD_TOKENS = {Architecture.sd1: "<|endoftext|>", Architecture.sd2_base: "!", Architecture.sd2: "!"}
"""What a text is padded with: CLIP's own end, but OpenCLIP's token 0."""


class ModelComponents(NamedTuple):
    """The networks on the CPU, the tokenizer, and the scheduler's config as diffusers holds it."""

    vae: Any
    unet: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any
