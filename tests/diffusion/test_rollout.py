"""The schedule against diffusers', the rollout against autograd and closed forms."""

from __future__ import annotations

import pytest
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from scoft_hpc.diffusion.ddpm import Ddpm
from scoft_hpc.diffusion.rollout import attach, last_call, rollout

STEPS, GUIDANCE = 20, 4.5


def scheduler(prediction_type: str = "epsilon") -> DDPMScheduler:
    return DDPMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        prediction_type=prediction_type,
    )


def ddpm(prediction_type: str = "epsilon") -> Ddpm:
    return Ddpm(scheduler(prediction_type).alphas_cumprod.double(), prediction_type == "v_prediction")


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_a_step_is_diffusers_ddpm_step(prediction_type: str) -> None:
    reference, ddpm_process = scheduler(prediction_type), ddpm(prediction_type)
    reference.alphas_cumprod = reference.alphas_cumprod.double()
    reference.set_timesteps(timesteps=[900, 853, 400, 12, 0])
    z, out = torch.randn(2, 1, 4, 8, 8, dtype=torch.float64)
    for t, t_prev in [(900, 853), (853, 400), (400, 12), (12, 0), (0, -1)]:
        expected = reference.step(out, t, z, generator=torch.Generator().manual_seed(3)).prev_sample
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(3), dtype=z.dtype)
        a, b, sigma = ddpm_process.step(torch.tensor([t]), torch.tensor([t_prev]))
        torch.testing.assert_close(a * z + b * out + sigma * noise, expected)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_noising_and_target_are_diffusers(prediction_type: str) -> None:
    reference, ddpm_process = scheduler(prediction_type), ddpm(prediction_type)
    z_0, eps, t = torch.randn(5, 4, 8, 8), torch.randn(5, 4, 8, 8), torch.tensor([1, 40, 137, 500, 999])
    torch.testing.assert_close(ddpm_process.add_noise(z_0, eps, t), reference.add_noise(z_0, eps, t))
    expected = eps if prediction_type == "epsilon" else reference.get_velocity(z_0, eps, t)
    torch.testing.assert_close(ddpm_process.target(z_0, eps, t), expected)


def test_timesteps_are_the_authors() -> None:
    process = ddpm()
    times = process.rollout_times(torch.tensor([999, 19, 20, 18, 1]), STEPS)
    assert times[0].tolist() == [999 - i * 52 for i in range(19)] + [0, -1]
    assert times[1].tolist() == list(range(19, -2, -1))
    assert times[2].tolist() == [*range(20, 1, -1), 0, -1]
    assert times[3].tolist() == [18, 0] + [-1] * 19
    assert times[4].tolist() == [1, 0] + [-1] * 19
    assert last_call(process, torch.tensor([999, 18]), STEPS).tolist() == [19, 1]
    with pytest.raises(ValueError, match="t >= 1"):
        process.rollout_times(torch.tensor([0]), STEPS)


def test_training_times_are_all_that_a_rollout_can_start_from() -> None:
    process = Ddpm(torch.linspace(0.9, 0.1, 10).double())
    t = process.sample_times(2000, torch.Generator().manual_seed(0))
    assert set(t.tolist()) == set(range(1, 10))


def rolled(s: Ddpm, z_t: Tensor, t: Tensor, first: Tensor, grad_call: Tensor, noise: Tensor, net: Tensor):
    """A rollout of a linear `network`, out = net * z under the caption and 0 under the null text."""
    return rollout(
        lambda z, t, rows: GUIDANCE * (net * z),
        s,
        z_t,
        t,
        GUIDANCE * first,
        grad_call,
        noise,
        steps=STEPS,
        gain=GUIDANCE,
    )


@pytest.mark.parametrize("t", [999, 500, 137, 40, 19, 18, 1])
def test_k_of_the_first_call_is_the_closed_form(t: int) -> None:
    s = ddpm()
    z_t, first = torch.randn(2, 1, 4, 8, 8, dtype=torch.float64)
    times = torch.tensor([t])
    noise = torch.randn(STEPS, 1, 4, 8, 8, dtype=torch.float64)
    k = rolled(s, z_t, times, first, torch.zeros(1, dtype=torch.long), noise, torch.tensor(0.1)).k
    abar_t, abar_t1 = s.abar[t], s.abar[s.rollout_times(times, STEPS)[0, 1]]
    torch.testing.assert_close(k, -GUIDANCE * (1 - abar_t / abar_t1) / ((1 - abar_t) * abar_t).sqrt()[None])


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_gradient_is_that_of_autograd_with_one_call_in_the_graph(prediction_type: str) -> None:
    """Rows of one batch keep calls 0, 7, their last, and (a short row) 1: each against a plain loop of its own."""
    s = ddpm(prediction_type)
    t, grad_call = torch.tensor([999, 500, 137, 9]), torch.tensor([0, 7, 19, 1])
    z_t, noise = torch.randn(4, 4, 2, 2).double(), torch.randn(STEPS, 4, 4, 2, 2).double()
    net = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    result = rolled(s, z_t, t, (net * z_t).detach(), grad_call, noise, net.detach())
    fast = attach(result, net * result.z_grad)
    (grad_fast,) = torch.autograd.grad(fast.square().sum(), net)

    slow = []
    for row in range(4):
        z, ladder = z_t[row], [x for x in s.rollout_times(t, STEPS)[row].tolist() if x >= 0]
        for i, now in enumerate(ladder):
            out = net * z if i == grad_call[row] else (net * z).detach()
            following = ladder[i + 1] if i + 1 < len(ladder) else -1
            a, b, sigma = s.step(torch.tensor([now]), torch.tensor([following]))
            z = a * z + b * GUIDANCE * out + sigma * noise[i, row]
        slow.append(z)
    (grad_slow,) = torch.autograd.grad(torch.stack(slow).square().sum(), net)
    torch.testing.assert_close(fast, torch.stack(slow))
    torch.testing.assert_close(grad_fast, grad_slow)


def test_a_perfect_prediction_rolls_back_to_the_clean_latent() -> None:
    """With the true noise predicted at guidance 1, and no noise added, each step stays on the line to z_0."""
    s = ddpm()
    z_0, eps, t = (
        torch.randn(3, 4, 8, 8).double(),
        torch.randn(3, 4, 8, 8).double(),
        torch.tensor([999, 300, 5]),
    )

    def oracle(z: Tensor, now: Tensor, rows: Tensor) -> Tensor:
        abar = s.abar[now].view(-1, 1, 1, 1)
        return (z - abar.sqrt() * z_0[rows]) / (1 - abar).sqrt()

    z_t = s.add_noise(z_0, eps, t)
    noise = torch.randn(STEPS, 3, 4, 8, 8).double()
    grad_call = torch.zeros(3, dtype=torch.long)
    result = rollout(oracle, s, z_t, t, eps, grad_call, noise, steps=STEPS, gain=1.0)
    torch.testing.assert_close(result.z_0, z_0)
