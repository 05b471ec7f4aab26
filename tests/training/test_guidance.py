"""A step's gradient against autograd through the rollout, for a flow whose guidance is by a null text or embedded."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

import tiny
import tiny_flow
from scoft_hpc.config.schema import Gradient, Lora, Variant
from scoft_hpc.config.terms import Term
from scoft_hpc.data.training_batch import TargetNames, sample_batch
from scoft_hpc.models.guidance import Guidance
from scoft_hpc.training.objective import LaneObjective
from scoft_hpc.training.step import backward
from tiny_flow import TinyFlow

STEPS, SCALE = 4, 3.5


def slow_z_0(model: TinyFlow, z: Tensor, t: Tensor, text: str, grad_call: int, lane: Tensor) -> Tensor:
    """One row's rollout with autograd left on in the kept call alone."""
    times = model.process.rollout_times(t, STEPS)[0]
    caption, null = model.encode_text([text]), model.encode_text([""])
    if model.guidance is Guidance.embedded:
        caption = caption.with_guidance(SCALE)
    for i in range(STEPS):
        now = times[i : i + 1]
        with torch.set_grad_enabled(i == grad_call):
            out = model.predict(z, now, caption, lane)
        if model.guidance is Guidance.classifier_free:
            with torch.no_grad():
                unguided = model.predict(z, now, null, lane)
            out = unguided + SCALE * (out - unguided)
        z = z + (times[i + 1] - times[i]).to(z) * out
    return z


@pytest.mark.parametrize("guidance", Guidance)
@pytest.mark.parametrize(("gradient", "grad_call"), [(Gradient.first, 0), (Gradient.last, STEPS - 1)])
def test_the_gradient_of_a_step_is_that_of_autograd(
    guidance: Guidance, gradient: Gradient, grad_call: int
) -> None:
    model = tiny_flow.new(guidance)
    stack = model.adapt(1, Lora(4, None, tiny_flow.TARGETS))
    stack.init(0, torch.Generator().manual_seed(0))
    stack.weights += 0.05 * torch.randn(stack.weights.shape, generator=torch.Generator().manual_seed(1))
    config = tiny.config(
        Variant.mp,
        objective={
            "w_ldm": 0.0,
            "w_m": 0.0,
            "w_c": 1.0,
            "every": 1,
            "gradient": gradient,
            "guidance": SCALE,
            "rollout_steps": STEPS,
        },
        train={"batch": 2},
    )
    text = ["a house", "a red boat"]
    culture = replace(
        tiny.culture(pairs=2),
        moments=torch.rand(2, 2, 2, tiny_flow.CHANNELS, 4, 4, generator=torch.Generator().manual_seed(2)),
        text=model.encode_text(text),
        generic=model.encode_text(["a thing", "a thing"]),
        null=model.encode_text([""]),
    )
    batch = sample_batch(config, culture, model.process, 0, 0, TargetNames("pixels"))
    lane = LaneObjective(0, Variant.mp, config.objective, tiny.PIXELS)
    values = backward(model, [lane], batch, {0: 1.0})
    gradient_of_lane = stack.gradients[0].clone()
    stack.zero_grad()

    z_t = model.process.add_noise(batch.z_0, batch.eps, batch.t)
    loss = torch.zeros(())
    for row in range(2):
        states = batch.text.tensors["states"][row]
        (own,) = (
            prompt for prompt in text if torch.equal(model.encode_text([prompt]).tensors["states"][0], states)
        )
        z_0 = slow_z_0(
            model,
            z_t[row : row + 1],
            batch.t[row : row + 1],
            own,
            grad_call,
            torch.zeros(1, dtype=torch.long),
        )
        loss = loss + (model.decode(z_0) - batch.targets[0].positive[row]).square().mean()
    with stack.collecting():
        loss.backward()
    expected = stack.gradients[0]
    assert expected.norm() > 0
    assert (gradient_of_lane - expected).norm() <= 1e-4 * expected.norm()
    assert float(values[Term.p].sum()) == pytest.approx(float(loss.detach()), rel=1e-5)
