"""What a single-file checkpoint in the original layout (LDM's) holds, by the names and shapes in its header."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from scoft_hpc.config.schema import Architecture
from scoft_hpc.inputs.checkpoints.architecture import configs

Shapes = Mapping[str, tuple[int, ...]]

UNET = "model.diffusion_model."
FIRST = f"{UNET}input_blocks.0.0.weight"
CROSS = f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight"
VAES = ("first_stage_model.", "vae.")
TEXT = {
    Architecture.sd1: "cond_stage_model.transformer.text_model.embeddings.position_embedding.weight",
    Architecture.sd2_base: "cond_stage_model.model.token_embedding.weight",
    Architecture.sd2: "cond_stage_model.model.token_embedding.weight",
}
"""A tensor by which diffusers knows the text encoder: CLIP in transformers' form, or OpenCLIP."""

OTHERS = {
    "conditioner.": "Stable Diffusion XL",
    "joint_blocks.": "Stable Diffusion 3",
    "double_blocks.": "FLUX",
    "lora_": "a LoRA",
    "control_model.": "a ControlNet",
    "controlnet_cond_embedding.": "a ControlNet",
    "motion_modules.": "AnimateDiff",
}
"""Words in tensors' names that only other models have."""

INPUTS = {9: "inpainting", 8: "image editing", 7: "upscaling", 5: "depth-to-image"}
"""Models with more input channels than the latent's 4."""


def fault(shapes: Shapes, architecture: Architecture, shrink: int = 1) -> str | None:
    """Why these tensors are not a whole checkpoint of the architecture; None if they are."""
    for marker, model in OTHERS.items():
        if name := next((name for name in shapes if marker in name), None):
            return f"it is {model} (it has {name}); expected Stable Diffusion 1.x or 2.x"
    return "; ".join(_faults(shapes, architecture, shrink)) or None


def _faults(shapes: Shapes, architecture: Architecture, shrink: int) -> Iterator[str]:
    if FIRST not in shapes:
        if any(name.startswith(("conv_in.", "encoder.conv_in.", "text_model.")) for name in shapes):
            yield "it is one network of a folder in diffusers' layout; give the folder that has model_index.json"
            return
        yield f"it has no U-Net in the original layout ({FIRST})"
    else:
        yield from _unet_faults(shapes, architecture, shrink)
    if not any(name.startswith(VAES) for name in shapes):
        yield f"it has no VAE ({' or '.join(f'{prefix}*' for prefix in VAES)})"
    if TEXT[architecture] not in shapes:
        others = [other.name for other in Architecture if TEXT[other] in shapes]
        alternatives = f"one of {' or '.join(others)}" if others else "none"
        yield f"it has no text encoder of model.architecture={architecture.name} ({alternatives} found)"


def _unet_faults(shapes: Shapes, architecture: Architecture, shrink: int) -> Iterator[str]:
    width, channels = shapes[FIRST][:2]
    if channels != 4:
        yield f"its U-Net has {channels} input channels{purpose(channels)}; expected 4"
    texts = {one: configs(one, shrink)["unet"]["cross_attention_dim"] for one in Architecture}
    text = shapes.get(CROSS, (0, 0))[-1]
    if text != texts[architecture]:
        like = [one.name for one, other in texts.items() if other == text]
        hint = f": try model.architecture={' or '.join(like)}" if like else ""
        yield f"its text width is {text}; {architecture.name} has {texts[architecture]}{hint}"
    expected = configs(architecture, shrink)["unet"]["block_out_channels"][0]
    if width != expected:
        yield f"its U-Net is {width} wide; {architecture.name} has {expected}"


def purpose(channels: int) -> str:
    """A clause that tells what a U-Net with so many input channels is for; empty for an unknown number."""
    return f", as models for {INPUTS[channels]} do" if channels in INPUTS else ""
