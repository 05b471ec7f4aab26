"""The rectified flow against its closed forms, and its rollout's gradient against autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from scoft_hpc.diffusion.rectified_flow import RectifiedFlow
from scoft_hpc.diffusion.rollout import attach, last_call, rollout

STEPS, GUIDANCE = 20, 4.5


def latents(rows: int, seed: int = 0) -> Tensor:
    return torch.randn(rows, 4, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_times_are_shifted_reals_above_0_and_at_most_1(shift: float) -> None:
    t = RectifiedFlow(shift).sample_times(20_000, torch.Generator().manual_seed(0))
    assert t.dtype == torch.float64 and t.min() > 0 and t.max() <= 1
    u = t / (shift - (shift - 1) * t)
    assert u.mean() == pytest.approx(0.5, abs=0.01)
    assert u.var() == pytest.approx(1 / 12, abs=0.003)


def test_noise_is_mixed_in_on_a_straight_line_whose_velocity_is_the_target() -> None:
    flow, z_0, eps = RectifiedFlow(), latents(3), latents(3, 1)
    t = torch.tensor([0.1, 0.5, 1.0], dtype=torch.float64)
    z_t, later = flow.add_noise(z_0, eps, t), flow.add_noise(z_0, eps, t + 0.25)
    torch.testing.assert_close(z_t[1], (z_0[1] + eps[1]) / 2)
    torch.testing.assert_close(z_t[2], eps[2])
    torch.testing.assert_close((later - z_t) / 0.25, flow.target(z_0, eps, t))
    torch.testing.assert_close(z_t - t.view(-1, 1, 1, 1) * flow.target(z_0, eps, t), z_0)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_ladder_is_even_in_u_from_t_to_0(shift: float) -> None:
    t = torch.tensor([1.0, 0.7, 0.01], dtype=torch.float64)
    times = RectifiedFlow(shift).rollout_times(t, STEPS)
    assert times.shape == (3, STEPS + 1)
    assert torch.equal(times[:, 0], t) and times[:, -1].tolist() == [0, 0, 0]
    assert (times.diff(dim=1) < 0).all()
    u = times / (shift - (shift - 1) * times)
    torch.testing.assert_close(u.diff(dim=1), (-u[:, :1] / STEPS).expand(-1, STEPS))
    assert last_call(RectifiedFlow(shift), t, STEPS).tolist() == [STEPS - 1] * 3
    for outside in (0.0, 1.5):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            RectifiedFlow(shift).rollout_times(torch.tensor([outside]), STEPS)


@pytest.mark.parametrize("call", [0, 9, 19])
def test_k_is_g_times_the_step_of_the_kept_call(call: int) -> None:
    """At shift 3 from .7 with g = 4.5, |k| is .086, .139 and .283 for the first, tenth and last call."""
    flow, t = RectifiedFlow(3.0), torch.tensor([0.7], dtype=torch.float64)
    noise, z = torch.zeros(STEPS, 1, 4, 4, 4, dtype=torch.float64), latents(1)
    rolled = rollout(
        lambda z, t, rows: 0.1 * z,
        flow,
        z,
        t,
        0.1 * z,
        torch.tensor([call]),
        noise,
        steps=STEPS,
        gain=GUIDANCE,
    )
    times = flow.rollout_times(t, STEPS)[0]
    torch.testing.assert_close(rolled.k, GUIDANCE * (times[call + 1] - times[call])[None])
    assert float(-rolled.k) == pytest.approx({0: 0.086, 9: 0.139, 19: 0.283}[call], abs=5e-4)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_gradient_is_that_of_autograd_with_one_call_in_the_graph(shift: float) -> None:
    flow, z_t = RectifiedFlow(shift), latents(3)
    t, grad_call = torch.tensor([1.0, 0.6, 0.05], dtype=torch.float64), torch.tensor([0, 9, 19])
    noise = torch.randn(STEPS, 3, 4, 4, 4, dtype=torch.float64)
    net = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    fixed = net.detach()
    rolled = rollout(
        lambda z, t, rows: GUIDANCE * fixed * z,
        flow,
        z_t,
        t,
        GUIDANCE * fixed * z_t,
        grad_call,
        noise,
        steps=STEPS,
        gain=GUIDANCE,
    )
    fast = attach(rolled, net * rolled.z_grad)
    (grad_fast,) = torch.autograd.grad(fast.square().sum(), net)
    slow = []
    for row in range(3):
        z, times = z_t[row], flow.rollout_times(t, STEPS)[row].tolist()
        for i in range(STEPS):
            out = net * z if i == grad_call[row] else (net * z).detach()
            z = z + (times[i + 1] - times[i]) * GUIDANCE * out
        slow.append(z)
    (grad_slow,) = torch.autograd.grad(torch.stack(slow).square().sum(), net)
    torch.testing.assert_close(fast, torch.stack(slow))
    torch.testing.assert_close(grad_fast, grad_slow)


def test_a_perfect_prediction_rolls_back_to_the_clean_latent() -> None:
    flow, z_0, eps = RectifiedFlow(3.0), latents(2), latents(2, 1)
    t = torch.tensor([0.9, 0.2], dtype=torch.float64)
    velocity = flow.target(z_0, eps, t)
    noise, grad_call = torch.randn(STEPS, 2, 4, 4, 4, dtype=torch.float64), torch.zeros(2, dtype=torch.long)
    rolled = rollout(
        lambda z, t, rows: velocity[rows],
        flow,
        flow.add_noise(z_0, eps, t),
        t,
        velocity,
        grad_call,
        noise,
        steps=STEPS,
        gain=1.0,
    )
    torch.testing.assert_close(rolled.z_0, z_0)
