"""The slow rewriting against closed forms and diffusers' own scheduler, so that it may judge the fast one."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from reference import authors, world

F64 = torch.float64
MODES = ("first", "last", "random")
DISTANCE = world.Distance(seed=5)


def micro(t: int, **changes: object) -> world.Micro:
    return replace(world.micros(seed=1, timesteps=[t], dtype=F64)[0], **changes)


def oracle(base: world.Base, z_start: Tensor) -> authors.Predict:
    """The network that knows z_start: its output is the exact noise, or velocity, in z at t."""

    def predict(z: Tensor, t: int, text: Tensor) -> Tensor:
        alpha_bar = float(base.scheduler.alphas_cumprod[t])
        eps = (z - math.sqrt(alpha_bar) * z_start) / math.sqrt(1 - alpha_bar)
        if base.scheduler.config.prediction_type == "epsilon":
            return eps
        return math.sqrt(alpha_bar) * eps - math.sqrt(1 - alpha_bar) * z_start

    return predict


@pytest.mark.parametrize("t", [1, 2, 18, 19, 20, 37, 38, 500, 999])
def test_timesteps_start_at_t_end_at_zero_and_are_what_diffusers_takes(t: int) -> None:
    timesteps = authors.rollout_timesteps(t)
    assert timesteps[0] == t and timesteps[-1] == 0
    assert len(timesteps) == (2 if t < 19 else 20)
    assert {a - b for a, b in pairwise(timesteps[:-1])} <= {t // 19}
    world.base().scheduler.set_timesteps(timesteps=timesteps)  # raises unless they descend


def test_every_t_from_1_has_descending_timesteps_and_0_is_refused() -> None:
    for t in range(1, 1000):
        timesteps = authors.rollout_timesteps(t)
        assert timesteps == sorted(set(timesteps), reverse=True)
    with pytest.raises(ValueError, match="t >= 1"):
        authors.rollout_timesteps(0)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("t", [1, 18, 40, 999])
def test_step_is_diffusers_step_with_the_same_noise(t: int, prediction_type: str) -> None:
    scheduler = world.base(prediction_type).scheduler
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.double()
    timesteps = authors.rollout_timesteps(t)
    scheduler.set_timesteps(timesteps=timesteps)
    z, prediction = torch.randn(2, 1, *world.LATENT, dtype=F64, generator=torch.Generator().manual_seed(0))
    for now, after in zip(timesteps, [*timesteps[1:], -1], strict=True):
        expected = scheduler.step(prediction, now, z, torch.Generator().manual_seed(now)).prev_sample
        noise = torch.randn(z.shape, dtype=F64, generator=torch.Generator().manual_seed(now))
        step = authors.ddpm_step(scheduler.alphas_cumprod, z, prediction, now, after, noise, prediction_type)
        torch.testing.assert_close(step, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("t", [0, 1, 500, 999])
def test_noising_and_velocity_are_diffusers(t: int) -> None:
    scheduler = world.base().scheduler
    z_start, eps = torch.randn(2, 1, *world.LATENT, generator=torch.Generator().manual_seed(0))
    table = scheduler.alphas_cumprod
    z_t = scheduler.add_noise(z_start, eps, torch.tensor([t]))
    velocity = scheduler.get_velocity(z_start, eps, torch.tensor([t]))
    torch.testing.assert_close(authors.add_noise(table, z_start, eps, t), z_t, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(authors.velocity(table, z_start, eps, t), velocity, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_a_perfect_prediction_has_no_loss_and_its_rollout_ends_at_z_start(prediction_type: str) -> None:
    base = world.base(prediction_type, dtype=F64)
    for t in (1, 18, 19, 40, 500, 999):
        m = micro(t)
        predict = oracle(base, m.z_start)
        off = authors.Objective(w_m=None, w_c=None)
        terms = authors.micro_step(predict, base, m, off, active=True, distance=DISTANCE)
        assert terms.keys() == {"ldm", "loss"} and terms["loss"].item() < 1e-20
        z_t = authors.add_noise(base.scheduler.alphas_cumprod, m.z_start, m.eps, t)
        for mode in MODES:
            z_0 = authors.rollout(
                predict, base, m, z_t, predict(z_t, t, m.text), authors.Objective(gradient=mode)
            )
            torch.testing.assert_close(z_0, m.z_start, rtol=1e-9, atol=1e-9)


def first_k(alphas_cumprod: Tensor, timesteps: list[int], guidance: float) -> float:
    """method.md: the rest of the rollout is affine in the first prediction, d z_0 / d eps = k I."""
    a, a_next = (float(alphas_cumprod[t]) for t in timesteps[:2])
    return -guidance * (1 - a / a_next) / math.sqrt((1 - a) * a)


@pytest.mark.slow
@pytest.mark.parametrize("t", [999, 500, 137, 40, 19, 18, 1])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 1e-4), (F64, 1e-10)])
def test_gradient_of_mode_first_is_k_times_that_at_z_0(t: int, dtype: torch.dtype, bound: float) -> None:
    base = world.base(dtype=dtype)
    predict = authors.network(world.with_lora(base, rank=4, alpha=8, seed=2).to(dtype))
    distance = world.Distance(seed=5, dtype=dtype)
    m = world.micros(seed=1, timesteps=[t], dtype=dtype)[0]
    z_t = authors.add_noise(base.scheduler.alphas_cumprod, m.z_start, m.eps, t)
    with torch.no_grad():
        prediction = predict(z_t, t, m.text)
    z_0 = authors.rollout(predict, base, m, z_t, prediction.requires_grad_(), authors.Objective())

    def loss(z: Tensor) -> Tensor:
        return authors.contrastive(distance, authors.decode(base.vae, z), m, authors.Objective())

    (through_rollout,) = torch.autograd.grad(loss(z_0), prediction)
    leaf = z_0.detach().requires_grad_()
    (at_z_0,) = torch.autograd.grad(loss(leaf), leaf)
    k = first_k(base.scheduler.alphas_cumprod, authors.rollout_timesteps(t), 4.5)
    assert float((through_rollout - k * at_z_0).norm() / through_rollout.norm()) < bound
    assert float(through_rollout.norm()) > 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("t", [999, 500, 19, 7])
def test_one_conditional_call_keeps_its_graph(t: int, mode: str) -> None:
    """With a one-weight network, d z_0 / d w is the kept call's k alone: the null text adds nothing."""
    base = world.base(dtype=F64)
    m = micro(t, random_call=0.5)
    w = torch.tensor(0.7, dtype=F64, requires_grad=True)
    calls: list[tuple[int, bool]] = []

    def predict(z: Tensor, t: int, text: Tensor) -> Tensor:
        calls.append((t, torch.is_grad_enabled()))
        return w * (m.eps if text is m.text else 3 * m.eps)

    z_t = authors.add_noise(base.scheduler.alphas_cumprod, m.z_start, m.eps, t)
    z_0 = authors.rollout(predict, base, m, z_t, predict(z_t, t, m.text), authors.Objective(gradient=mode))
    timesteps = [*authors.rollout_timesteps(t), -1]
    calls_of_rollout = len(timesteps) - 1
    grad_call = {"first": 0, "last": calls_of_rollout - 1, "random": calls_of_rollout // 2}[mode]
    assert len(calls) == 2 * calls_of_rollout + (mode != "first")
    assert [t for t, graph in calls[1:] if graph] == ([] if mode == "first" else [timesteps[grad_call]])

    table = torch.cat([base.scheduler.alphas_cumprod, torch.ones(1)])  # index -1: the end of the rollout
    k = first_k(table, timesteps[grad_call:], 4.5)
    (gradient,) = torch.autograd.grad(z_0.sum(), w)
    assert gradient.item() == pytest.approx(k * float(m.eps.sum()), rel=1e-9)


def test_contrastive_forms() -> None:
    """S = |mean x - mean y| on constant images: every form has a value known by hand."""

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return (x - y).abs().flatten(1).mean(1)

    def image(value: float) -> Tensor:
        return torch.full((1, *world.IMAGE), value)

    m = micro(500, x_pos=image(0.5), x_neg=(image(0.2), image(-0.4)))
    x_hat = image(0.0)  # S+ = .5, mean S- = .3
    official, triplet = authors.Objective(), authors.Objective(form="triplet", triplet_margin=0.1)

    def value(objective: authors.Objective, x: Tensor = x_hat) -> float:
        return float(authors.contrastive(distance, x, m, objective))

    assert value(official) == pytest.approx(0.2)
    assert value(replace(official, only_positive=True)) == value(replace(triplet, only_positive=True)) == 0.5
    assert value(triplet) == pytest.approx(0.3)
    assert value(replace(triplet, triplet_lambda=2.0)) == 0.0  # .5 - .6 + .1
    assert value(official, image(0.5)) == pytest.approx(-0.6)  # no hinge
    assert value(triplet, image(0.5)) == 0.0


def test_memorization_has_no_gradient_through_the_generic_caption() -> None:
    """With a one-weight network w h(text), d L_M / d w = 2 w h (h - h_blip) under sg."""
    base, m = world.base(dtype=F64), micro(300)
    w = torch.tensor(0.7, dtype=F64, requires_grad=True)

    def predict(z: Tensor, t: int, text: Tensor) -> Tensor:
        return w * (2.0 if text is m.text else 5.0) * torch.ones_like(z)

    objective = authors.Objective(w_ldm=0.0, w_m=1.0, w_c=None)
    terms = authors.micro_step(predict, base, m, objective, active=False, distance=DISTANCE)
    (gradient,) = torch.autograd.grad(terms["loss"], w)
    assert terms["m"].item() == pytest.approx((0.7 * 3) ** 2)
    assert gradient.item() == pytest.approx(2 * 0.7 * 2 * (2 - 5))


def test_total_is_the_weighted_sum_on_active_and_inactive_steps() -> None:
    base = world.base()
    predict = authors.network(world.with_lora(base, rank=4, alpha=8, seed=2))
    m = world.micros(seed=1, timesteps=[200])[0]
    objective = authors.Objective(w_vgg=0.01)
    vgg = world.Distance(seed=6)
    on = authors.micro_step(predict, base, m, objective, True, DISTANCE, vgg)
    off = authors.micro_step(predict, base, m, objective, False, DISTANCE, vgg)
    assert on.keys() == {"ldm", "m", "c", "s", "vgg", "loss"} and off.keys() == {"ldm", "m", "loss"}
    expected = 0.7 * on["ldm"] + 0.3 * on["m"] + 0.05 * on["c"] + 0.01 * on["vgg"]
    torch.testing.assert_close(on["loss"], expected)
    torch.testing.assert_close(off["loss"], 0.7 * on["ldm"] + 0.3 * on["m"])


def test_lora_is_the_frozen_layer_plus_alpha_over_rank_b_a() -> None:
    base = world.base()
    unet = world.with_lora(base, rank=4, alpha=8, seed=2)
    name, down, up = world.lora_pairs(unet)[5]
    frozen = base.unet.get_submodule(name)
    x = torch.randn(3, down.shape[1], generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(unet.get_submodule(name)(x), frozen(x) + 2 * x @ down.T @ up.T)
    assert len(world.lora_pairs(unet)) == 8 * sum(n.endswith("attn1") for n, _ in unet.named_modules())


def test_loop_accumulates_clips_and_takes_adamws_first_step() -> None:
    base = world.base()
    unet = world.with_lora(base, rank=4, alpha=8, seed=2)
    micros = world.micros(seed=1, timesteps=[300, 5, 700, 60])
    objective = authors.Objective(every=3)
    predict = authors.network(unet)
    weights = [w.requires_grad_() for _, a, b in world.lora_pairs(unet) for w in (a, b)]
    before = [w.detach().clone() for w in weights]
    losses = [
        authors.micro_step(predict, base, m, objective, active=index % 3 == 0, distance=DISTANCE)["loss"]
        for index, m in enumerate(micros)
    ]
    gradients = torch.autograd.grad(torch.stack(losses).mean(), weights)

    optimiser = authors.Optimiser(lr=1e-3, max_grad_norm=1e-6)  # clipped so far that AdamW's eps shows
    history = authors.train_loop(base, unet, micros, 4, objective, optimiser, DISTANCE)
    assert [("c" in row) for row in history.terms] == [True, False, False, True]
    norm = torch.stack([g.square().sum() for g in gradients]).sum().sqrt()
    assert history.norms == [pytest.approx(float(norm), rel=1e-5)]
    for (name, after), old, gradient in zip(history.weights.items(), before, gradients, strict=True):
        torch.testing.assert_close(history.gradients[0][name], gradient, rtol=1e-4, atol=1e-7)
        clipped = gradient * optimiser.max_grad_norm / (norm + 1e-6)
        step = clipped / (clipped.abs() + optimiser.eps)
        expected = old * (1 - optimiser.lr * optimiser.weight_decay) - optimiser.lr * step
        torch.testing.assert_close(after, expected, rtol=1e-5, atol=1e-6)


def test_learning_rate_is_half_a_cosine() -> None:
    optimiser = authors.Optimiser(lr=2.0, cosine_updates=10)
    rates = [authors.learning_rate(optimiser, u) for u in range(11)]
    assert rates[0] == 2.0 and rates[5] == pytest.approx(1.0) and rates[10] == pytest.approx(0.0)
    assert authors.learning_rate(authors.Optimiser(lr=2.0), 7) == 2.0
