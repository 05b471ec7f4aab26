"""The authors' training loop, rewritten plainly and slowly: batch 1, autograd through everything.

Written from the equations (and from reading the published `train.py`), sharing nothing with the package: peft
holds the LoRA, torch's AdamW updates it, the inputs are explicit tensors. The fast step is tested against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import mse_loss

from .world import Base, Micro, lora_pairs

Distance = Callable[[Tensor, Tensor], Tensor]  # S(x, y) of two images [1, 3, H, W] -> one number
Predict = Callable[[Tensor, int, Tensor], Tensor]  # (z, t, text states) -> the network's output


@dataclass(frozen=True)
class Objective:
    """What one lane minimises. A term whose weight is None does not exist for the lane."""

    w_ldm: float = 0.7
    w_m: float | None = 0.3
    w_c: float | None = 0.05
    w_vgg: float | None = None
    only_positive: bool = False
    form: str = "official"  # or "triplet"
    triplet_lambda: float = 1.0
    triplet_margin: float = 0.1
    gradient: str = "first"  # or "last", "random"
    guidance: float = 4.5
    every: int = 10
    cadence: str = "micro_step"  # what `every` counts; or "update"


@dataclass(frozen=True)
class Optimiser:
    lr: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 1e-2
    eps: float = 1e-8
    max_grad_norm: float = 1.0
    cosine_updates: int | None = None  # updates until the cosine reaches 0; None: constant


@dataclass
class History:
    """What the loop did. `terms` has a row a micro-step; a term that did not run is absent from its row."""

    terms: list[dict[str, float]] = field(default_factory=list)
    gradients: list[dict[str, Tensor]] = field(default_factory=list)  # an update each, before clipping
    norms: list[float] = field(default_factory=list)
    weights: dict[str, Tensor] = field(default_factory=dict)


def rollout_timesteps(t: int, calls: int = 20) -> list[int]:
    """t, t-s, ..., 0 with s = t // 19: 20 timesteps; [t, 0] where s would be 0. t = 0 has none."""
    if t < 1:
        raise ValueError(f"a rollout starts at t >= 1, got {t}")
    stride = t // (calls - 1)
    if stride == 0:
        return [t, 0]
    return [t - i * stride for i in range(calls - 1)] + [0]


def add_noise(alphas_cumprod: Tensor, z_start: Tensor, eps: Tensor, t: int) -> Tensor:
    alpha_bar = float(alphas_cumprod[t])
    return math.sqrt(alpha_bar) * z_start + math.sqrt(1 - alpha_bar) * eps


def velocity(alphas_cumprod: Tensor, z_start: Tensor, eps: Tensor, t: int) -> Tensor:
    alpha_bar = float(alphas_cumprod[t])
    return math.sqrt(alpha_bar) * eps - math.sqrt(1 - alpha_bar) * z_start


def ddpm_step(
    alphas_cumprod: Tensor,
    z: Tensor,
    prediction: Tensor,
    t: int,
    t_next: int,
    noise: Tensor,
    prediction_type: str,
) -> Tensor:
    """One ancestral step t -> t_next (-1: the end), Ho et al. 2020 eq. 7, the small variance, no clipping."""
    alpha_bar = float(alphas_cumprod[t])
    alpha_bar_next = float(alphas_cumprod[t_next]) if t_next >= 0 else 1.0
    alpha = alpha_bar / alpha_bar_next
    if prediction_type == "epsilon":
        z_0 = (z - math.sqrt(1 - alpha_bar) * prediction) / math.sqrt(alpha_bar)
    else:
        z_0 = math.sqrt(alpha_bar) * z - math.sqrt(1 - alpha_bar) * prediction
    mean = (
        math.sqrt(alpha_bar_next) * (1 - alpha) / (1 - alpha_bar) * z_0
        + math.sqrt(alpha) * (1 - alpha_bar_next) / (1 - alpha_bar) * z
    )
    if t == 0:
        return mean
    variance = (1 - alpha_bar_next) / (1 - alpha_bar) * (1 - alpha)
    return mean + math.sqrt(variance) * noise


def rollout(
    predict: Predict, base: Base, micro: Micro, z_t: Tensor, prediction: Tensor, objective: Objective
) -> Tensor:
    """z_0 from z_t. One conditional call keeps its graph, the null calls never do, and z is never detached.

    Args:
        prediction: what the network said at z_t with the caption, graph and all: call 0 of mode `first`.
    """
    timesteps = rollout_timesteps(micro.t)
    grad_call = {
        "first": 0,
        "last": len(timesteps) - 1,
        "random": int(micro.random_call * len(timesteps)),
    }[objective.gradient]
    z = z_t
    for call, (t, t_next) in enumerate(pairwise([*timesteps, -1])):
        if call == 0 and objective.gradient == "first":
            conditional = prediction
        else:
            with torch.set_grad_enabled(call == grad_call):
                conditional = predict(z, t, micro.text)
        with torch.no_grad():
            null = predict(z, t, micro.null_text)
        guided = null + objective.guidance * (conditional - null)
        z = ddpm_step(
            base.scheduler.alphas_cumprod,
            z,
            guided,
            t,
            t_next,
            micro.rollout_eps[call],
            base.scheduler.config.prediction_type,
        )
    return z


def decode(vae: AutoencoderKL, z_0: Tensor) -> Tensor:
    return vae.decode(z_0 / vae.config.scaling_factor).sample


def contrastive(distance: Distance, x_hat: Tensor, micro: Micro, objective: Objective) -> Tensor:
    """L_P where only the positive counts, else L_C in one of its two forms."""
    positive = distance(x_hat, micro.x_pos).mean()
    if objective.only_positive:
        return positive
    negative = torch.stack([distance(x_hat, x).mean() for x in micro.x_neg]).mean()
    if objective.form == "official":
        return positive - negative
    return (positive - objective.triplet_lambda * negative + objective.triplet_margin).clamp(min=0)


def micro_step(
    predict: Predict,
    base: Base,
    micro: Micro,
    objective: Objective,
    active: bool,
    distance: Distance,
    vgg: Distance | None = None,
) -> dict[str, Tensor]:
    """The loss terms, their weighted sum `loss` with its graph and, after a rollout, `s` = S(x_hat, x+)."""
    alphas_cumprod = base.scheduler.alphas_cumprod
    z_t = add_noise(alphas_cumprod, micro.z_start, micro.eps, micro.t)
    prediction = predict(z_t, micro.t, micro.text)
    if base.scheduler.config.prediction_type == "epsilon":
        target = micro.eps
    else:
        target = velocity(alphas_cumprod, micro.z_start, micro.eps, micro.t)

    terms = {"ldm": mse_loss(prediction, target)}
    loss = objective.w_ldm * terms["ldm"]
    if objective.w_m is not None:
        with torch.no_grad():
            generic = predict(z_t, micro.t, micro.blip_text)
        terms["m"] = mse_loss(prediction, generic)
        loss = loss + objective.w_m * terms["m"]
    if active and objective.w_c is not None:
        x_hat = decode(base.vae, rollout(predict, base, micro, z_t, prediction, objective))
        terms["s"] = distance(x_hat, micro.x_pos).mean()
        terms["p" if objective.only_positive else "c"] = term = contrastive(distance, x_hat, micro, objective)
        loss = loss + objective.w_c * term
        if objective.w_vgg is not None and vgg is not None:
            terms["vgg"] = vgg(x_hat, micro.x_pos).mean()
            loss = loss + objective.w_vgg * terms["vgg"]
    return terms | {"loss": loss}


def network(unet: UNet2DConditionModel) -> Predict:
    return lambda z, t, text: unet(z, torch.tensor([t]), text).sample


def train_loop(
    base: Base,
    unet: UNet2DConditionModel,
    micros: Sequence[Micro],
    batch: int,
    objective: Objective,
    optimiser: Optimiser,
    distance: Distance,
    vgg: Distance | None = None,
) -> History:
    """`batch` micro-steps make one update: their losses are divided by `batch`, their gradients add up.

    Args:
        unet: with peft's adapter (`world.with_lora`); trained in place.
        micros: in order; every `objective.every`-th (or all of such an update), from the first on, rolls out.
    """
    named = {f"{name}.{part}": p for name, a, b in lora_pairs(unet) for part, p in (("A", a), ("B", b))}
    for parameter in named.values():
        parameter.requires_grad_(True)
    adamw = torch.optim.AdamW(
        named.values(), optimiser.lr, optimiser.betas, optimiser.eps, optimiser.weight_decay, foreach=False
    )
    history = History()
    for index, micro in enumerate(micros):
        count = index if objective.cadence == "micro_step" else index // batch
        active = count % objective.every == 0
        terms = micro_step(network(unet), base, micro, objective, active, distance, vgg)
        (terms["loss"] / batch).backward()
        history.terms.append({name: value.item() for name, value in terms.items()})
        if (index + 1) % batch == 0:
            history.gradients.append({name: p.grad.detach().clone() for name, p in named.items()})
            norm = torch.nn.utils.clip_grad_norm_(named.values(), optimiser.max_grad_norm)
            history.norms.append(float(norm))
            update = index // batch
            for group in adamw.param_groups:
                group["lr"] = learning_rate(optimiser, update)
            adamw.step()
            adamw.zero_grad()
    history.weights = {name: p.detach().clone() for name, p in named.items()}
    return history


def learning_rate(optimiser: Optimiser, update: int) -> float:
    """Half a cosine from `lr` at update 0 down to 0 at update `cosine_updates`."""
    if optimiser.cosine_updates is None:
        return optimiser.lr
    return optimiser.lr * 0.5 * (1 + math.cos(math.pi * update / optimiser.cosine_updates))
