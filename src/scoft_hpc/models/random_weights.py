"""A base model of the real classes and sizes with random weights: nothing is downloaded, and it costs what a real one
does. The same architecture and shrink give the same weights on every machine.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import torch
from accelerate import init_empty_weights
from accelerate.utils import set_module_tensor_to_device
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.convert_slow_tokenizer import bytes_to_unicode

from scoft_hpc.config.schema import Architecture
from scoft_hpc.inputs.checkpoints.architecture import configs
from scoft_hpc.models.components import PAD_TOKENS, ModelComponents

TOKENS = 77
EMBEDDING_STD = 0.02
"""Of token and position embeddings, as CLIP's own initialisation."""


def build(architecture: Architecture, shrink: int, dtype: torch.dtype) -> ModelComponents:
    """The model, on the CPU; its peak memory is the weights' in `dtype` and one tensor's in fp32."""
    config = configs(architecture, shrink)
    with init_empty_weights(include_buffers=False):
        vae = AutoencoderKL.from_config(config["vae"])
        unet = UNet2DConditionModel.from_config(config["unet"])
        text_encoder = CLIPTextModel(CLIPTextConfig(**config["text_encoder"]))
    for name, network in (("vae", vae), ("unet", unet), ("text_encoder", text_encoder)):
        init_uniform(network, name, dtype)
    scheduler = DDPMScheduler.from_config(config["scheduler"])
    return ModelComponents(vae, unet, text_encoder, tokenizer(PAD_TOKENS[architecture]), scheduler)


def init_uniform(network: nn.Module, name: str, dtype: torch.dtype) -> None:
    """Give a network without memory its weights, each drawn from a stream that its own name seeds.

    Bounded as PyTorch initialises its layers: 1 and 0 for norms, U(±1/√fan_in) for the rest. Uniform numbers come from
    the generator's bits alone; normal ones take a logarithm, which rounds differently from machine to machine.
    """
    for path, module in network.named_modules():
        weight = getattr(module, "weight", None)
        for end, parameter in module.named_parameters(recurse=False):
            bound = _bound(module, end, weight)
            stem = path.removeprefix("text_model.")  # transformers before 5.6
            tensor = _draw(f"{name}.{stem}.{end}", parameter.shape, bound).to(dtype)
            set_module_tensor_to_device(module, end, "cpu", tensor, dtype=dtype)


def _bound(module: nn.Module, end: str, weight: Any) -> float | None:
    """The bound of the uniform numbers; None: all ones."""
    if isinstance(module, (nn.GroupNorm, nn.LayerNorm)):
        return None if end == "weight" else 0.0
    if isinstance(module, nn.Embedding):
        return EMBEDDING_STD * math.sqrt(3)
    return 1 / math.sqrt(weight[0].numel())


def _draw(name: str, shape: torch.Size, bound: float | None) -> Tensor:
    if bound is None:
        return torch.ones(shape)
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little", signed=True)
    return torch.empty(shape).uniform_(-bound, bound, generator=torch.Generator().manual_seed(seed))


def tokenizer(pad: str) -> Any:
    """A CLIP tokenizer that reads bytes: without CLIP's vocabulary, a text is its letters, cut at 77."""
    letters = list(bytes_to_unicode().values())
    vocabulary = {letter: index for index, letter in enumerate([*letters, *(f"{c}</w>" for c in letters)])}
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    return CLIPTokenizer(vocab=vocabulary, merges=[], pad_token=pad, model_max_length=TOKENS)
