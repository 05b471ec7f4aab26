"""The settings that have a fixed list of values."""

from __future__ import annotations

from enum import Enum


class ContrastiveForm(Enum):
    """How L_C joins S(x_hat, x+) and S(x_hat, x-): the code's difference, or the paper's triplet."""

    official = "official"
    triplet = "triplet"


class Gradient(Enum):
    """Which U-Net call of the rollout keeps its graph."""

    first = "first"
    last = "last"
    random = "random"


class Cadence(Enum):
    """What `objective.every` counts: micro-steps (one pair each), as the authors do, or whole updates."""

    micro_step = "micro_step"
    update = "update"


class Precision(Enum):
    """Of the frozen networks; the adapters, their gradients and AdamW are fp32 in any case.

    fp16 scales each lane's loss so that small gradients survive; bf16 needs an Ampere GPU or newer, and no scaling.
    """

    fp32 = "fp32"
    fp16 = "fp16"
    bf16 = "bf16"


class Architecture(Enum):
    """What a single-file checkpoint, or `model.path=random`, is; a folder has its own config."""

    sd1 = "sd1"  # Stable Diffusion 1.x
    sd2_base = "sd2_base"  # 2.x, 512 px, eps-prediction
    sd2 = "sd2"  # 2.x, 768 px, v-prediction


class LrSchedule(Enum):
    constant = "constant"
    cosine = "cosine"


class NegativeSource(Enum):
    """Where missing negatives come from: nowhere (given ones only), or drawn by the un-fine-tuned base."""

    given = "given"
    txt2img = "txt2img"
    img2img = "img2img"
    depth = "depth"  # a ControlNet keeps the positive's depth: as the authors do


class Prompting(Enum):
    """What the model receives for an evaluation prompt: the prompt, with the culture's name or not, or a rewrite."""

    asked = "asked"
    named = "named"
    rewritten = "rewritten"


class WandbMode(Enum):
    offline = "offline"
    online = "online"
    disabled = "disabled"
