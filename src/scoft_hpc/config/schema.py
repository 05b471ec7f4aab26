"""Every setting, its type, its default and its policies: the authors' example script, unless marked [ours].

A config has two halves. The *science* half decides what a run computes and is hashed into its id; the *infra*
half (`infra=True`) decides where and how, and is not. `config.setting` says what the other policies mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from scoft_hpc.config.choices import Architecture as Architecture
from scoft_hpc.config.choices import Cadence as Cadence
from scoft_hpc.config.choices import ContrastiveForm as ContrastiveForm
from scoft_hpc.config.choices import Gradient as Gradient
from scoft_hpc.config.choices import LrSchedule as LrSchedule
from scoft_hpc.config.choices import NegativeSource as NegativeSource
from scoft_hpc.config.choices import Precision as Precision
from scoft_hpc.config.choices import Prompting as Prompting
from scoft_hpc.config.choices import WandbMode as WandbMode
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.config.setting import ABOVE_ZERO, UNIT_INTERVAL, Rule, at_least, one_of, setting
from scoft_hpc.config.terms import CONTRAST, MEMORIZATION, ROLLOUT, TRAINING, Term
from scoft_hpc.config.terms import Variant as Variant
from scoft_hpc.study.paths import STUDY

DISTANCES = ("toy", "dreamsim", "dino", "clip", "blip2", "vgg")
"""The feature distances; `perceptual.registry` has a network for each."""

EMBEDDINGS = ("toy", "dino")
"""The networks whose features of an image compare a run's samples; `evaluation.embedders` has each."""

FILLED_IN = "the plan fills it in"
"""Why a search does not try a name or a digest."""
EIGHTS = Rule(lambda value: value > 0 and value % 8 == 0, "a multiple of 8: the VAE scales by 8")
TARGETS = Rule(lambda value: bool(value) and all(value), "at least one layer's name")
BETAS = Rule(lambda value: all(0 <= beta < 1 for beta in value), "two numbers from 0 to below 1")
METRIC_NAMES = Rule(lambda value: set(value) <= set(METRICS), f"names among {', '.join(METRICS)}")
FOLDER = Rule(bool, "a folder")
ALL_AT_ONCE = "a trial is all cultures and seeds of the sweep"
DEVICE = Rule(
    lambda value: re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", value) is not None,
    "auto, cpu, cuda or cuda:N",
)
STUDY_NAME = Rule(
    lambda value: STUDY.fullmatch(value) is not None,
    "letters, digits, `_`, `-` and `.`, at most 81, the first a letter or digit",
)


def _draws(evaluation: Mapping[str, Any]) -> bool:
    """Whether samples are drawn: not where another generator's images are scored instead."""
    return not evaluation["images"]


def _triplet(objective: Mapping[str, Any]) -> bool:
    return bool(objective["form"] == ContrastiveForm.triplet.name)


@dataclass(frozen=True)
class Model:
    """The frozen base: Stable Diffusion 1.x or 2.x, or `toy` for the bundled one.

    Attributes:
        family: what kind of model the checkpoint is, one of `inputs.checkpoints.families`.
        path: a hub id, a folder in diffusers' layout, a single-file checkpoint, `toy`, or `random` for random weights.
        revision: of a hub id: a branch, tag or commit; None: main.
        architecture, tokenizer: of a single file, which holds neither; the tokenizer is a hub id or a folder.
        shrink: of `random` (or a single file of such a model): the layers' widths are divided by it.
        pickle: whether weights in pickle form may be loaded.
        compile: whether the U-Net goes through torch.compile.
        gflop: of a U-Net pass over one row; None: as counted for the architecture (`inputs.model_costs`).
    """

    name: str = setting("toy", not_searched=FILLED_IN)
    family: str = setting("stable_diffusion", infra=True)
    path: str = setting("toy", infra=True)
    revision: str | None = setting(None, infra=True)
    architecture: Architecture = setting(Architecture.sd1, infra=True)
    tokenizer: str = setting("openai/clip-vit-large-patch14", infra=True)
    shrink: int = setting(1, infra=True, allowed=at_least(1))
    pickle: bool = setting(False, infra=True)
    compile: bool = setting(False, infra=True)
    resolution: int = setting(512, allowed=EIGHTS)
    precision: Precision = Precision.fp32
    gflop: float | None = setting(None, infra=True, allowed=ABOVE_ZERO)
    digest: str = setting("", not_searched=FILLED_IN)  # of the weights; filled in by the plan


@dataclass(frozen=True)
class Negatives:
    """Images of the un-fine-tuned model, x-. Strength, steps and guidance are [ours].

    Attributes:
        depth_path, controlnet_path: of `depth`: the depth estimator (DPT) and the ControlNet; hub ids or folders.
    """

    source: NegativeSource = NegativeSource.img2img
    per_positive: int = setting(1, allowed=at_least(1))
    strength: float = setting(
        0.9,
        allowed=UNIT_INTERVAL,
        used_if=lambda negatives: negatives["source"] == NegativeSource.img2img.name,
    )
    steps: int = setting(20, allowed=at_least(1))
    guidance: float = setting(4.5, allowed=at_least(0))
    seed: int = setting(0, allowed=at_least(0))
    depth_path: str = setting("Intel/dpt-large", infra=True)
    controlnet_path: str = setting("lllyasviel/sd-controlnet-depth", infra=True)
    # Of the depth estimator and the ControlNet; filled in by the plan.
    digest: str = setting("", not_searched=FILLED_IN)


@dataclass(frozen=True)
class Data:
    """Cultures on disk: `<root>/<culture>/train/metadata.jsonl`. `toy` renders its own below `output`."""

    name: str = setting("toy", not_searched=FILLED_IN)
    root: str | None = setting(None, infra=True)
    pairs: int | None = setting(None, allowed=at_least(1))  # use only the first so many pairs
    random_flip: bool = setting(True, used_by=TRAINING, per_lane=True)
    negatives: Negatives = setting(Negatives(), used_by=CONTRAST, per_lane=True)
    # Of the culture's rows and images; filled in by the plan.
    digest: str = setting("", per_lane=True, not_searched=FILLED_IN)


@dataclass(frozen=True)
class Objective:
    """total = w_ldm L_LDM + w_m L_M + w_c L_C + w_vgg VGG; L_C and VGG on every `every`-th step.

    Attributes:
        distance_path, vgg_path: the networks of S and of VGG: hub ids, folders or files; None: each one's own hub id.
    """

    form: ContrastiveForm = setting(ContrastiveForm.official, used_by=CONTRAST, per_lane=True)
    distance: str = setting("dreamsim", used_by=ROLLOUT, per_lane=True, allowed=one_of(DISTANCES))
    distance_path: str | None = setting(None, infra=True)
    w_ldm: float = setting(0.7, per_lane=True, allowed=at_least(0))
    w_m: float = setting(0.3, used_by=MEMORIZATION, per_lane=True, allowed=at_least(0))
    w_c: float = setting(0.05, used_by=ROLLOUT, per_lane=True, allowed=at_least(0))
    w_vgg: float = setting(0.01, used_by=ROLLOUT, per_lane=True, allowed=at_least(0))
    vgg_path: str | None = setting(None, infra=True)
    every: int = setting(10, used_by=ROLLOUT, allowed=at_least(1))
    cadence: Cadence = setting(Cadence.micro_step, used_by=ROLLOUT)
    gradient: Gradient = setting(Gradient.first, used_by=ROLLOUT, per_lane=True)
    guidance: float = setting(4.5, used_by=ROLLOUT, allowed=at_least(0))
    rollout_steps: int = setting(20, used_by=ROLLOUT, allowed=at_least(2))
    # The published code has no hinge: these two are [ours].
    triplet_lambda: float = setting(
        1.0, used_by=CONTRAST, used_if=_triplet, per_lane=True, allowed=at_least(0)
    )
    triplet_margin: float = setting(
        0.1, used_by=CONTRAST, used_if=_triplet, per_lane=True, allowed=at_least(0)
    )
    # Of the networks of S and VGG; filled in by the plan.
    digest: str = setting("", used_by=ROLLOUT, per_lane=True, not_searched=FILLED_IN)

    def weight(self, term: Term) -> float:
        """What the term counts in the loss; L_P, a part of L_C, has the weight of L_C."""
        weights = {
            Term.ldm: self.w_ldm,
            Term.m: self.w_m,
            Term.p: self.w_c,
            Term.c: self.w_c,
            Term.vgg: self.w_vgg,
        }
        return weights[term]


@dataclass(frozen=True)
class Lora:
    rank: int = setting(64, allowed=at_least(1))
    alpha: float | None = setting(None, allowed=ABOVE_ZERO)  # None: as the rank, so the scale is 1
    targets: tuple[str, ...] = setting(("to_q", "to_k", "to_v", "to_out.0"), allowed=TARGETS)
    kohya: bool = setting(False, infra=True)  # also write the file with the keys that ComfyUI and A1111 read


@dataclass(frozen=True)
class Train:
    """`batch` pairs make one update: the authors' batch 1 x accumulation 4, taken as one real batch.

    Attributes:
        steps: updates; None: `epochs` over the culture's pairs.
        rows: at most so many rows, of all lanes together, go through the U-Net at a time; None: what fits the memory.
    """

    steps: int | None = setting(None, allowed=at_least(1))
    epochs: int = setting(100, allowed=at_least(1), used_if=lambda train: train["steps"] is None)
    batch: int = setting(4, allowed=at_least(1))
    rows: int | None = setting(None, infra=True, allowed=at_least(1))
    lr: float = setting(1e-4, per_lane=True, allowed=ABOVE_ZERO)
    betas: tuple[float, float] = setting((0.9, 0.999), allowed=BETAS)
    weight_decay: float = setting(1e-2, allowed=at_least(0))
    eps: float = setting(1e-8, allowed=ABOVE_ZERO)
    schedule: LrSchedule = LrSchedule.cosine
    warmup_steps: int = setting(0, allowed=at_least(0))
    max_grad_norm: float = setting(1.0, allowed=ABOVE_ZERO)

    def updates(self, pairs: int) -> int:
        """How many updates a run over so many pairs makes."""
        return self.steps if self.steps is not None else math.ceil(pairs / self.batch) * self.epochs


@dataclass(frozen=True)
class Evaluation:
    """Samples that are scored: the same prompts and starting noises for every variant.

    Attributes:
        prompting: what the model receives; samples are scored against the original prompt in any case.
        rewrites: of `rewritten`: a file of prompts and their rewrites; None: the toy world's own.
        images: a folder of images that another generator made for the prompts, scored in place of a base's samples.
    """

    prompts: int = setting(8, allowed=at_least(1))  # at most so many prompts a culture
    # At most so many prompts that name no culture: what is forgotten shows there.
    neutral: int = setting(8, used_if=_draws, allowed=at_least(0))
    samples: int = setting(3, allowed=at_least(1))  # a prompt
    steps: int = setting(50, used_if=_draws, allowed=at_least(1))
    guidance: float = setting(4.5, used_if=_draws, allowed=at_least(0))
    seed: int = setting(0, used_if=_draws, allowed=at_least(0))
    prompting: Prompting = setting(Prompting.asked, used_if=_draws, per_lane=True)
    rewrites: str | None = setting(None, infra=True)
    images: str | None = setting(None, infra=True)
    # Of the model's prompts, or of the images; filled in by the plan.
    digest: str = setting("", per_lane=True)


@dataclass(frozen=True)
class Scoring:
    """What is measured of a run's samples, and through which networks. A run's id does not depend on it: samples can
    be scored again at any time (`scoft_hpc.evaluate`).

    Attributes:
        metrics: their names in `scoft_hpc.config.metrics`; by default all but FID.
        features: the network whose features say how alike two images are, one of EMBEDDINGS.
        features_path: its hub id or folder; None: its own hub id.
        clip: the CLIP of CLIPScore and CMMD: a hub id, a folder, or `toy`.
    """

    metrics: tuple[str, ...] = setting(
        tuple(spec.name for spec in METRICS.values() if spec.by_default), allowed=METRIC_NAMES
    )
    features: str = setting("dino", allowed=one_of(EMBEDDINGS))
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

    culture: str = setting("korea", per_lane=True, not_searched=ALL_AT_ONCE)
    variant: Variant = setting(
        Variant.mpc,
        per_lane=True,
        reported=False,
        not_searched="which terms help is an ablation's question; a search is of one variant",
    )
    seed: int = setting(0, per_lane=True, reported=False, not_searched=ALL_AT_ONCE, allowed=at_least(0))
    model: Model = Model()
    data: Data = Data()
    objective: Objective = setting(Objective(), used_by=TRAINING)
    lora: Lora = setting(Lora(), used_by=TRAINING)
    train: Train = setting(Train(), used_by=TRAINING)
    evaluation: Evaluation = setting(
        Evaluation(), not_searched="it decides how a trial is scored, not how well it is trained"
    )

    scoring: Scoring = setting(Scoring(), infra=True)
    study: str | None = setting(None, infra=True, axis=False, reported=False, allowed=STUDY_NAME)
    output: str = setting("outputs", infra=True, axis=False, allowed=FOLDER)
    device: str = setting("auto", infra=True, allowed=DEVICE)
    # CPU threads of a job; None: the cores shared out among the jobs.
    threads: int | None = setting(None, infra=True, allowed=at_least(1))
    save_seconds: float = setting(60.0, infra=True, allowed=ABOVE_ZERO)
    wandb: Wandb = setting(Wandb(), infra=True)
    # Event files too, while the jobs run and when results are gathered.
    tensorboard: bool = setting(False, infra=True)
