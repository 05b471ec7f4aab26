"""One lane's training by each side, the slow rewriting and our packed step, on the same tensors."""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from reference import authors, vgg, world
from scoft_hpc.config.schema import ContrastiveForm, Gradient, Lora, Objective, RunConfig, Train, Variant
from scoft_hpc.data.culture_cache import CachedCulture
from scoft_hpc.data.training_batch import PerceptualTargets, TrainingBatch, concatenate
from scoft_hpc.diffusion.ddpm import Ddpm
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.families.stable_diffusion import StableDiffusion
from scoft_hpc.perceptual.distance import FeatureDistance
from scoft_hpc.perceptual.vgg import VggDistance
from scoft_hpc.study.metrics_log import Row
from scoft_hpc.training.lane import Lane
from scoft_hpc.training.loop import losses_of
from scoft_hpc.training.objective import LaneObjective, NamedDistance
from scoft_hpc.training.step import backward, concatenate_values

PAIRS = 6
UPDATES, BATCH, EVERY = 5, 4, 3
RANK, ALPHA, LAMBDA = 4, 8.0, 0.9
DISTANCE, VGG = world.Distance(seed=5), world.Distance(seed=6)
# AdamW's eps is large enough for its step to be smooth at a gradient of 0: with 1e-8 an element whose
# gradient is nothing but rounding error moves by the whole learning rate, in either direction.
OPTIMISER = authors.Optimiser(lr=1e-3, eps=1e-3, max_grad_norm=0.5, cosine_updates=UPDATES)
# Every third micro-step rolls out: from 999, 1, 500, 18, 19, 5 and 40, in updates with one rollout or two.
TIMESTEPS = (999, 7, 250, 1, 620, 3, 500, 88, 901, 18, 333, 45, 19, 750, 2, 5, 410, 560, 40, 980)


@dataclass(frozen=True)
class Case:
    """One lane: what it minimises, and the seed of its LoRA and inputs."""

    variant: Variant
    gradient: Gradient = Gradient.first
    form: ContrastiveForm = ContrastiveForm.official
    seed: int = 0
    negatives: int = 2
    w_vgg: float = 0.01
    margin: float = 0.1
    vgg16: bool = False  # whether VGG is the distance itself; else a small one stands for it

    @property
    def name(self) -> str:
        return f"{self.variant.name}-{self.gradient.name}-{self.form.name}-s{self.seed}"

    def config(self) -> RunConfig:
        """The lane's settings in our words."""
        return RunConfig(
            variant=self.variant,
            seed=self.seed,
            objective=Objective(
                form=self.form,
                gradient=self.gradient,
                every=EVERY,
                w_vgg=self.w_vgg,
                triplet_lambda=LAMBDA,
                triplet_margin=self.margin,
            ),
            lora=Lora(rank=RANK, alpha=ALPHA, targets=world.TARGETS),
            train=Train(
                steps=UPDATES,
                batch=BATCH,
                lr=OPTIMISER.lr,
                eps=OPTIMISER.eps,
                max_grad_norm=OPTIMISER.max_grad_norm,
            ),
        )

    def objective(self) -> authors.Objective:
        """The lane's settings in the rewriting's words."""
        has_perceptual = self.variant in (Variant.mp, Variant.mpc)
        return authors.Objective(
            w_m=None if self.variant is Variant.ldm else 0.3,
            w_c=0.05 if has_perceptual else None,
            w_vgg=self.w_vgg if has_perceptual and self.w_vgg else None,
            only_positive=self.variant is Variant.mp,
            form=self.form.name,
            triplet_lambda=LAMBDA,
            triplet_margin=self.margin,
            gradient=self.gradient.name,
            every=EVERY,
        )

    def micros(self) -> list[world.Micro]:
        dtype = torch.get_default_dtype()
        return world.micros(100 + self.seed, TIMESTEPS, self.negatives, dtype)


class Pairwise(nn.Module):
    """The distance in the package's shape; its targets are the images themselves."""

    cacheable = False

    def __init__(self, distance: world.Distance) -> None:
        super().__init__()
        self.distance = distance

    def target(self, x: Tensor) -> Tensor:
        return x

    def forward(self, x_hat: Tensor, target: Tensor, seeds: Tensor) -> Tensor:
        repeated = x_hat[:, None].expand_as(target)
        return self.distance(repeated.flatten(0, 1), target.flatten(0, 1)).view(target.shape[:2])


class Features(FeatureDistance):
    """The same distance with features as targets, such as a cache keeps."""

    def __init__(self, distance: world.Distance) -> None:
        super().__init__()
        self.distance = distance

    def features(self, x: Tensor) -> Tensor:
        return self.distance.gain * self.distance.net(x)


S, V = NamedDistance("s", Pairwise(DISTANCE)), NamedDistance("vgg", Pairwise(VGG))
CACHED = NamedDistance("features", Features(DISTANCE))


def vgg16_of_the_authors() -> vgg.Distance:
    """VGG16 with random weights and torchvision's in-place ReLUs."""
    return vgg.Distance(vgg.features())


def vgg16() -> NamedDistance:
    """The package's distance with the same weights."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "vgg16.safetensors"
        save_file({f"features.{name}": w for name, w in vgg.features().state_dict().items()}, file)
        return NamedDistance("vgg16", VggDistance(file))


def culture(seed: int = 0) -> CachedCulture:
    """A culture of random pairs. Its latents have no spread, so that a row's latent tells its flip."""
    g = torch.Generator().manual_seed(seed)
    states = (PAIRS, world.TEXT_LENGTH, world.TEXT_WIDTH)
    moments = torch.randn(PAIRS, 2, 2, *world.LATENT, generator=g)
    moments[:, :, 1] = 0
    present = torch.ones(PAIRS, 3, dtype=torch.bool)
    present[::2, 1:] = False  # every other pair has one negative of the three
    return CachedCulture(
        moments=moments,
        text=Conditioning({"states": torch.randn(states, generator=g)}),
        generic=Conditioning({"states": torch.randn(states, generator=g)}),
        null=Conditioning({"states": torch.randn(1, *states[1:], generator=g)}),
        positive=torch.randint(256, (PAIRS, *world.IMAGE), dtype=torch.uint8, generator=g),
        negative=torch.randint(256, (PAIRS, 3, *world.IMAGE), dtype=torch.uint8, generator=g),
        negative_mask=present,
    )


@dataclass
class Update:
    """What one update of one lane was: the means of its terms, its gradient before clipping, its norm."""

    terms: dict[str, float]
    gradient: dict[str, Tensor]
    norm: float


@dataclass
class History:
    updates: list[Update]
    weights: dict[str, Tensor]


def by_the_authors(
    case: Case, prediction_type: str, micros: Sequence[world.Micro], given: authors.Distance | None = None
) -> History:
    """The rewriting, which takes micro-steps one by one; its terms are averaged over each update's.

    Args:
        given: another VGG distance than the case's.
    """
    dtype = torch.get_default_dtype()
    base = world.base(prediction_type, dtype=dtype)
    unet = world.with_lora(base, RANK, ALPHA, case.seed)
    compared = given or (vgg16_of_the_authors() if case.vgg16 else VGG)
    distance = copy.deepcopy(DISTANCE).to(dtype)
    done = authors.train_loop(base, unet, micros, BATCH, case.objective(), OPTIMISER, distance, compared)
    updates = []
    for u, (gradient, norm) in enumerate(zip(done.gradients, done.norms, strict=True)):
        rows = done.terms[u * BATCH : (u + 1) * BATCH]
        names = {name for row in rows for name in row}
        having = {name: [row[name] for row in rows if name in row] for name in names}
        terms = {name: sum(values) / len(values) for name, values in having.items()}
        updates.append(Update(terms, gradient, norm))
    return History(updates, done.weights)


def pack_of(
    cases: Sequence[Case], prediction_type: str, distance: NamedDistance = S
) -> tuple[StableDiffusion, list[Lane]]:
    """Our pack on the same frozen networks, with peft's initial LoRA weights copied in."""
    dtype = torch.get_default_dtype()
    given = world.base(prediction_type, dtype=dtype)
    process = Ddpm(given.scheduler.alphas_cumprod.double(), velocity=prediction_type == "v_prediction")
    cpu, unet = torch.device("cpu"), copy.deepcopy(given.unet)
    base = StableDiffusion(given.vae, unet, None, None, given.scheduler, process, cpu, dtype)
    base.adapt(len(cases), Lora(RANK, ALPHA, world.TARGETS))
    distance = NamedDistance(distance.name, copy.deepcopy(distance.distance).to(dtype))
    vgg_distance = vgg16() if any(case.vgg16 for case in cases) else V
    lanes = []
    for index, case in enumerate(cases):
        config = case.config()
        has_perceptual = case.variant in (Variant.mp, Variant.mpc)
        terms = LaneObjective(
            index,
            case.variant,
            config.objective,
            distance if has_perceptual else None,
            (vgg_distance if case.vgg16 else V) if has_perceptual and case.w_vgg else None,
        )
        lane = Lane(config, terms, culture(), base.lora)
        for name, a, b in world.lora_pairs(world.with_lora(given, RANK, ALPHA, case.seed)):
            lane.parameters[f"{name}.lora_A.weight"].copy_(a.detach())
            lane.parameters[f"{name}.lora_B.weight"].copy_(b.detach())
        lanes.append(lane)
    return base, lanes


def batch_of(case: Case, lane: int, micros: Sequence[world.Micro], first: int) -> TrainingBatch:
    """These micro-steps, the first being number `first` of the run, as one lane's rows."""
    has_perceptual = case.variant in (Variant.mp, Variant.mpc)
    active = [j for j in range(len(micros)) if has_perceptual and (first + j) % EVERY == 0]
    seen = [micros[j] for j in active]
    calls = [len(authors.rollout_timesteps(m.t)) for m in seen]
    grad_calls = {
        Gradient.first: [0 for _ in calls],
        Gradient.last: [n - 1 for n in calls],
        Gradient.random: [int(m.random_call * n) for m, n in zip(seen, calls, strict=True)],
    }[case.gradient]

    def stack(tensors: Sequence[Tensor], empty: tuple[int, ...]) -> Tensor:
        return torch.stack(list(tensors)) if tensors else torch.zeros(0, *empty)

    targets = PerceptualTargets(
        positive=stack([m.x_pos[0] for m in seen], world.IMAGE),
        seeds=torch.zeros(len(seen), dtype=torch.long),
        vgg=stack([m.x_pos[0] for m in seen], world.IMAGE) if case.w_vgg else None,
    )
    if case.variant is Variant.mpc:
        negative = stack([torch.cat(m.x_neg) for m in seen], (case.negatives, *world.IMAGE))
        present = torch.ones(len(seen), case.negatives, dtype=torch.bool)
        targets = replace(targets, negative=negative, negative_mask=present)
    return TrainingBatch(
        lane=torch.full((len(micros),), lane),
        t=torch.tensor([m.t for m in micros]),
        z_0=torch.cat([m.z_start for m in micros]),
        eps=torch.cat([m.eps for m in micros]),
        text=Conditioning({"states": torch.cat([m.text for m in micros])}),
        generic=Conditioning({"states": torch.cat([m.blip_text for m in micros])}),
        null=Conditioning({"states": micros[0].null_text}),
        active=torch.tensor(active, dtype=torch.long),
        grad_call=torch.tensor(grad_calls, dtype=torch.long),
        noise=stack([m.rollout_eps[:, 0] for m in seen], (world.CALLS, *world.LATENT)).transpose(0, 1),
        targets={lane: targets} if seen else {},
    )


def update_of(lane: Lane, row: Row) -> Update:
    """One update of ours, in the words of the rewriting; the lane steps."""
    gradient = {short(n): part.clone() for n, part in lane._lora.named(lane.gradient).items()}
    values = {name.removeprefix("loss_"): value for name, value in row.items() if not math.isnan(value)}
    norm, _ = lane.update()
    return Update(values, gradient, norm)


def weights(lane: Lane) -> dict[str, Tensor]:
    return {short(name): part.clone() for name, part in lane.parameters.items()}


def short(name: str) -> str:
    """Our parameter's name in the rewriting's words."""
    return name.replace(".lora_", ".").removesuffix(".weight")


def by_the_pack(
    cases: Sequence[Case], prediction_type: str, rows: int | None = None, n_updates: int = UPDATES
) -> list[History]:
    """Our step, all lanes in one batch an update, in passes of at most `rows` rows."""
    base, lanes = pack_of(cases, prediction_type)
    micros = [case.micros() for case in cases]
    updates: list[list[Update]] = [[] for _ in cases]
    terms, share = (
        [lane.objective for lane in lanes],
        {lane.objective.index: lane.row_weight for lane in lanes},
    )
    for first in range(0, n_updates * BATCH, BATCH):
        base.lora.zero_grad()
        batch = concatenate(
            [batch_of(case, i, micros[i][first : first + BATCH], first) for i, case in enumerate(cases)]
        )
        parts = list(batch.microbatches(rows))
        values = [backward(base, terms, part, share, decode=rows) for part in parts]
        losses = losses_of(terms, torch.cat([part.lane for part in parts]), concatenate_values(values))
        for done, lane, own in zip(updates, lanes, losses, strict=True):
            done.append(update_of(lane, own))
    return [History(done, weights(lane)) for done, lane in zip(updates, lanes, strict=True)]
