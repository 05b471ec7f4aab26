"""The noise schedule that is computed from a scheduler_config.json: diffusers' own numbers, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler

from scoft_hpc.diffusion.betas import alphas_cumprod
from scoft_hpc.diffusion.ddpm import Ddpm
from scoft_hpc.inputs.checkpoints.scheduler_config import parse

SD14: dict[str, Any] = {
    "_class_name": "DDPMScheduler",
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
}
ZERO_SNR = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_train_timesteps": 100},
        {"beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
        {"beta_schedule": "squaredcos_cap_v2"},
        {"num_train_timesteps": 5, "trained_betas": [0.01, 0.02, 0.05, 0.03, 0.2]},
        ZERO_SNR,
        {**ZERO_SNR, "beta_schedule": "linear", "num_train_timesteps": 250},
    ],
)
def test_abar_is_that_of_diffusers(changes: dict[str, Any]) -> None:
    config = {**SD14, **changes}
    abar = alphas_cumprod(parse(config))
    assert abar.dtype == torch.float64
    assert torch.equal(abar, DDPMScheduler.from_config(config).alphas_cumprod.double())


@pytest.mark.parametrize("variance_type", ["fixed_small", "fixed_small_log", None])
@pytest.mark.parametrize("changes", [{}, ZERO_SNR, {"num_train_timesteps": 100}])
def test_a_step_from_the_last_timestep_is_that_of_diffusers(
    changes: dict[str, Any], variance_type: str | None
) -> None:
    """Also where nothing of the image is left in z_t, and with each name of the variance that is accepted."""
    config = {**SD14, **changes, "variance_type": variance_type}
    parsed = parse(config)
    process = Ddpm(alphas_cumprod(parsed), velocity=parsed.prediction_type == "v_prediction")
    theirs = DDPMScheduler.from_config(config)
    theirs.alphas_cumprod = theirs.alphas_cumprod.double()
    last = parsed.num_train_timesteps - 1
    theirs.set_timesteps(timesteps=[last, last // 2, 0])
    z, out = torch.randn(2, 1, 4, 8, 8, dtype=torch.float64)
    for t, t_prev in [(last, last // 2), (last // 2, 0), (0, -1)]:
        expected = theirs.step(out, t, z, generator=torch.Generator().manual_seed(3)).prev_sample
        noise = torch.randn(z.shape, generator=torch.Generator().manual_seed(3), dtype=z.dtype)
        a, b, sigma = process.step(torch.tensor([t]), torch.tensor([t_prev]))
        torch.testing.assert_close(a * z + b * out + sigma * noise, expected, rtol=1e-6, atol=1e-6)


def test_timesteps_to_train_on_are_those_of_the_schedule() -> None:
    process = Ddpm(alphas_cumprod(parse({**SD14, "num_train_timesteps": 10})))
    drawn = process.sample_times(1000, torch.Generator().manual_seed(0))
    assert sorted(set(drawn.tolist())) == list(range(1, 10))
    sd = Ddpm(alphas_cumprod(parse(SD14)))
    expected = torch.randint(1, 1000, (64,), generator=torch.Generator().manual_seed(1))
    assert torch.equal(sd.sample_times(64, torch.Generator().manual_seed(1)), expected)
