"""A model's tensors in the original layout of Stable Diffusion: LDM's names, one file for all networks."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from scoft_hpc.config.schema import Architecture
from scoft_hpc.models.components import ModelComponents

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
UNET_ENDS = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}
VAE_WORDS = {
    "conv_shortcut": "nin_shortcut",
    "conv_norm_out": "norm_out",
    "downsamplers.0": "downsample",
    "upsamplers.0": "upsample",
    "mid_block.resnets.0": "mid.block_1",
    "mid_block.resnets.1": "mid.block_2",
    "mid_block.attentions.0.group_norm": "mid.attn_1.norm",
    "mid_block.attentions.0.to_out.0": "mid.attn_1.proj_out",
    "mid_block.attentions.0.to_": "mid.attn_1.",
    ".resnets.": ".block.",
}
OPEN_CLIP = {
    "encoder.layers.": "transformer.resblocks.",
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "final_layer_norm": "ln_final",
    "embeddings.position_embedding.weight": "positional_embedding",
    "embeddings.token_embedding": "token_embedding",
}


def checkpoint(parts: ModelComponents, architecture: Architecture) -> dict[str, Tensor]:
    """All tensors, with some that such files also hold and that no network has."""
    text = parts.text_encoder.state_dict()
    clip = _clip(text) if architecture is Architecture.sd1 else _open_clip(text)
    return {
        **{f"model.diffusion_model.{_unet(k)}": v for k, v in parts.unet.state_dict().items()},
        **{f"first_stage_model.{_vae(k)}": _as_convolution(k, v) for k, v in parts.vae.state_dict().items()},
        **{f"cond_stage_model.{k}": v.contiguous() for k, v in clip.items()},
        "alphas_cumprod": torch.linspace(1, 0, 1000),
        "model_ema.decay": torch.tensor(0.9999),
    }


def _replaced(name: str, replacements: dict[str, str]) -> str:
    for old, new in replacements.items():
        name = name.replace(old, new)
    return name


def _unet(name: str) -> str:
    for start, original in UNET_ENDS.items():
        if name.startswith(f"{start}."):
            rest = name.removeprefix(start)
            return original + (rest if "attentions" in start else _replaced(rest, RESNET))
    match = re.fullmatch(r"(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.*)", name)
    assert match, name
    side, block, kind, layer, rest = match[1], int(match[2]), match[3], int(match[4]), match[5]
    if kind == "downsamplers":
        return f"input_blocks.{3 * block + 3}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        return f"output_blocks.{3 * block + 2}.{1 if block == 0 else 2}.{rest}"
    number = (
        f"input_blocks.{3 * block + layer + 1}" if side == "down" else f"output_blocks.{3 * block + layer}"
    )
    return f"{number}.0.{_replaced(rest, RESNET)}" if kind == "resnets" else f"{number}.1.{rest}"


def _vae(name: str) -> str:
    name = re.sub(r"down_blocks\.(\d)", r"down.\1", name)
    name = re.sub(r"up_blocks\.(\d)", lambda match: f"up.{3 - int(match[1])}", name)
    return _replaced(name, VAE_WORDS)


def _as_convolution(name: str, weight: Tensor) -> Tensor:
    """Attention in the original VAE is made of 1 x 1 convolutions."""
    return weight[:, :, None, None] if ".to_" in name and weight.ndim == 2 else weight


def _clip(text: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors = {f"transformer.text_model.{k.removeprefix('text_model.')}": v for k, v in text.items()}
    return {**tensors, "transformer.text_model.embeddings.position_ids": torch.arange(77)[None]}


def _open_clip(text: dict[str, Tensor]) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {"model.logit_scale": torch.tensor(4.6)}
    for name, weight in text.items():
        if match := re.fullmatch(r"encoder\.layers\.(\d+)\.self_attn\.q_proj\.(weight|bias)", name):
            together = [weight, *(text[name.replace("q_proj", f"{other}_proj")] for other in "kv")]
            tensors[f"model.transformer.resblocks.{match[1]}.attn.in_proj_{match[2]}"] = torch.cat(together)
        elif "k_proj" not in name and "v_proj" not in name:
            tensors[f"model.{_replaced(name, OPEN_CLIP)}"] = weight
    width = text[next(name for name in text if name.endswith("final_layer_norm.bias"))].shape[0]
    tensors["model.text_projection"] = torch.eye(width)
    return tensors
