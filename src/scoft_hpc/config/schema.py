"""Every setting, its type and its default: the authors' example script, unless marked [ours].

A config has two halves. The *science* half decides what a run computes and is hashed into its id; the *infra*
half (fields made with `infra`) decides where and how, and is not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

INFRA = {"infra": True}
"""The mark of a field that the run's identity leaves out."""


def infra(default: Any) -> Any:
    """A field of the infra half."""
    return field(default=default, metadata=INFRA)


class Variant(Enum):
    """The rows of the ablation that the study ranks; `config.terms.TERMS` says which terms each has."""

    base = "base"
    ldm = "ldm"
    m = "m"
    mp = "mp"
    mpc = "mpc"


class Form(Enum):
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
    """What a single-file checkpoint, or `model.path=random`, is; a folder says so itself."""

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
    depth = "depth"  # a ControlNet keeps the positive's depth: the authors' way


class Prompting(Enum):
    """What the model is told for an evaluation prompt: the prompt, the culture's name besides, or another text."""

    asked = "asked"
    named = "named"
    rewritten = "rewritten"


class WandbMode(Enum):
    offline = "offline"
    online = "online"
    disabled = "disabled"


DISTANCES = ("toy", "dreamsim", "dino", "clip", "blip2", "vgg")
"""The feature distances; `perceptual.registry` has a network for each."""

EMBEDDINGS = ("toy", "dino")
"""The networks whose features of an image judge a run's samples; `evaluation.embedders` has each."""

METRICS: dict[str, str | None] = {
    "default_style": None,
    "in_style": None,
    "subject": None,
    "clip_score": "clip",
    "kid": "features",
    "cmmd": "clip",
    "base_distance": "features",
    "memorization": "features",
    "copies": "features",
    "diversity": "features",
    "vendi": "features",
    "neutral_kid": "features",
    "neutral_clip_score": "clip",
    "fid": "features",
}
"""Every metric, with the network of `scoring` that it looks through; `evaluation.metrics.registry` computes them."""


@dataclass(frozen=True)
class Model:
    """The frozen base: Stable Diffusion 1.x or 2.x, or `toy` for the one that ships.

    Attributes:
        family: what kind of model the checkpoint is, one of `inputs.checkpoints.families`.
        path: a hub id, a folder in diffusers' layout, a single-file checkpoint, `toy`, or `random` for random weights.
        revision: of a hub id: a branch, tag or commit; None: main.
        architecture, tokenizer: of a single file, which holds neither; the tokenizer is a hub id or a folder.
        shrink: of `random` (or a single file of such a model): the layers' widths are divided by it.
        pickle: whether weights in pickle form may be loaded.
        compile: whether the U-Net goes through torch.compile.
        gflop: of a U-Net pass over one sample; None: Stable Diffusion 1.x's, for the price.
    """

    name: str = "toy"
    family: str = infra("stable_diffusion")
    path: str = infra("toy")
    revision: str | None = infra(None)
    architecture: Architecture = infra(Architecture.sd1)
    tokenizer: str = infra("openai/clip-vit-large-patch14")
    shrink: int = infra(1)
    pickle: bool = infra(False)
    compile: bool = infra(False)
    resolution: int = 512
    precision: Precision = Precision.fp32
    gflop: float | None = infra(None)
    digest: str = ""  # of the weights; filled in by the plan


@dataclass(frozen=True)
class Negatives:
    """Images of the un-fine-tuned model, x-. Strength, steps and guidance are [ours].

    Attributes:
        depth_path, controlnet_path: of `depth`: the depth estimator (DPT) and the ControlNet; hub ids or folders.
    """

    source: NegativeSource = NegativeSource.img2img
    per_positive: int = 1
    strength: float = 0.9
    steps: int = 20
    guidance: float = 4.5
    seed: int = 0
    depth_path: str = infra("Intel/dpt-large")
    controlnet_path: str = infra("lllyasviel/sd-controlnet-depth")
    digest: str = ""  # of the depth estimator and the ControlNet; filled in by the plan


@dataclass(frozen=True)
class Data:
    """Cultures on disk: `<root>/<culture>/train/metadata.jsonl`. `toy` renders its own below `output`."""

    name: str = "toy"
    root: str | None = infra(None)
    pairs: int | None = None  # use only the first so many pairs
    random_flip: bool = True
    negatives: Negatives = Negatives()
    digest: str = ""  # of the culture's rows and images; filled in by the plan


@dataclass(frozen=True)
class Objective:
    """total = w_ldm L_LDM + w_m L_M + w_c L_C + w_vgg VGG; L_C and VGG on every `every`-th step.

    Attributes:
        distance_path, vgg_path: the networks of S and of VGG: hub ids, folders or files; None: each one's own hub id.
    """

    form: Form = Form.official
    distance: str = "dreamsim"
    distance_path: str | None = infra(None)
    w_ldm: float = 0.7
    w_m: float = 0.3
    w_c: float = 0.05
    w_vgg: float = 0.01
    vgg_path: str | None = infra(None)
    every: int = 10
    cadence: Cadence = Cadence.micro_step
    gradient: Gradient = Gradient.first
    guidance: float = 4.5
    rollout_steps: int = 20
    triplet_lambda: float = 1.0  # [ours]: the published code has no hinge
    triplet_margin: float = 0.1  # [ours]
    digest: str = ""  # of the networks of S and VGG; filled in by the plan


@dataclass(frozen=True)
class Lora:
    rank: int = 64
    alpha: float | None = None  # None: as the rank, so the scale is 1
    targets: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")
    kohya: bool = infra(False)  # also write the file with the keys that ComfyUI and A1111 read


@dataclass(frozen=True)
class Train:
    """`batch` pairs make one update: the authors' batch 1 x accumulation 4, taken as one real batch.

    Attributes:
        steps: updates; None: `epochs` over the culture's pairs.
        rows: at most so many rows, of all lanes together, go through the U-Net at a time; None: what fits the memory.
    """

    steps: int | None = None
    epochs: int = 100
    batch: int = 4
    rows: int | None = infra(None)
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-2
    eps: float = 1e-8
    schedule: LrSchedule = LrSchedule.cosine
    warmup_steps: int = 0
    max_grad_norm: float = 1.0

    def updates(self, pairs: int) -> int:
        """How many updates a run over so many pairs makes."""
        return self.steps if self.steps is not None else math.ceil(pairs / self.batch) * self.epochs


@dataclass(frozen=True)
class Evaluation:
    """Samples that are scored: the same prompts and starting noises for every variant.

    Attributes:
        prompting: what the model is told; scores are of the prompt as it is asked in any case.
        rewrites: of `rewritten`: a file of prompts and their rewritings; None: the toy world's own.
        images: a folder of images that another generator made for the prompts, scored in place of a base's samples.
    """

    prompts: int = 8  # at most so many prompts a culture
    neutral: int = 8  # at most so many prompts that name no culture: what is forgotten shows there
    samples: int = 3  # a prompt
    steps: int = 50
    guidance: float = 4.5
    seed: int = 0
    prompting: Prompting = Prompting.asked
    rewrites: str | None = infra(None)
    images: str | None = infra(None)
    digest: str = ""  # of what the model is told, or of the images; filled in by the plan


@dataclass(frozen=True)
class Scoring:
    """What is measured of a run's samples, and through which networks. A run's id does not depend on it: samples can
    be scored anew at any time (`scoft_hpc.evaluate`).

    Attributes:
        metrics: their names; FID is left out unless it is asked for.
        features: the network whose features say how alike two images are, one of EMBEDDINGS.
        features_path: its hub id or folder; None: its own hub id.
        clip: the CLIP of CLIPScore and CMMD: a hub id, a folder, or `toy`.
    """

    metrics: tuple[str, ...] = tuple(name for name in METRICS if name != "fid")
    features: str = "dino"
    features_path: str | None = None
    clip: str = "openai/clip-vit-large-patch14"


@dataclass(frozen=True)
class Wandb:
    """Where results are published.

    Attributes:
        live: also send the curves while the jobs run; needs `online`.
    """

    mode: WandbMode = WandbMode.offline
    live: bool = False
    project: str = "scoft-hpc"
    entity: str | None = None


@dataclass(frozen=True)
class RunConfig:
    """One run: a culture, a variant and a seed, with every setting that they train under."""

    culture: str = "korea"
    variant: Variant = Variant.mpc
    seed: int = 0
    model: Model = Model()
    data: Data = Data()
    objective: Objective = Objective()
    lora: Lora = Lora()
    train: Train = Train()
    evaluation: Evaluation = Evaluation()

    scoring: Scoring = field(default=Scoring(), metadata=INFRA)
    study: str | None = infra(None)
    output: str = infra("outputs")
    device: str = infra("auto")
    threads: int | None = infra(None)  # CPU threads of a job; None: the cores shared out among the jobs
    save_seconds: float = infra(60.0)
    wandb: Wandb = field(default=Wandb(), metadata=INFRA)
    tensorboard: bool = infra(False)  # event files too, while the jobs run and when results are gathered
