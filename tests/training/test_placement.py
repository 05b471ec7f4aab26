"""Where tensors lie: what a network sees on its device, indices and timesteps on the host.

The device is torch's `meta`, which holds no numbers: mixing it with the host's raises as a GPU's would, and so does a
look at what a number is, which on a GPU would wait for it.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

import tiny
from scoft_hpc.config.schema import ContrastiveForm, Gradient, Lora, RunConfig, Variant
from scoft_hpc.config.terms import Term
from scoft_hpc.data.training_batch import concatenate
from scoft_hpc.models.lora import LoraStack
from scoft_hpc.training.lane import Lane
from scoft_hpc.training.objective import LaneObjective
from scoft_hpc.training.step import backward

META = torch.device("meta")
LANES = [
    tiny.config(Variant.mpc, objective={"every": 2}),
    tiny.config(Variant.m, seed=1),
    tiny.config(
        Variant.mpc, objective={"every": 2, "gradient": Gradient.random, "form": ContrastiveForm.triplet}
    ),
    tiny.config(Variant.mp, objective={"every": 3, "gradient": Gradient.last}),
]


def on_meta(config: RunConfig, index: int, lora: LoraStack) -> Lane:
    culture = tiny.culture()
    moved = {name: value.to(META) for name, value in vars(culture).items() if hasattr(value, "to")}
    s = tiny.PIXELS if config.variant in (Variant.mp, Variant.mpc) else None
    terms = LaneObjective(index, config.variant, config.objective, s, s)
    lane = object.__new__(Lane)
    lane.config, lane.objective, lane.culture, lane.step, lane.scale = (
        config,
        terms,
        replace(culture, **moved),
        0,
        None,
    )
    return lane


@pytest.mark.slow
@pytest.mark.parametrize("rows", [None, 3])
def test_a_training_step_keeps_apart_host_and_device(rows: int | None) -> None:
    base = tiny.base()
    base = replace(base, vae=base.vae.to(META), unet=base.unet.to(META), device=META)
    base.adapt(len(LANES), Lora(4, None, ("to_q", "to_k", "to_v", "to_out.0")))
    lanes = [on_meta(config, i, base.lora) for i, config in enumerate(LANES)]
    batch = concatenate([lane.next_batch(base.process) for lane in lanes])
    assert (batch.t.device.type, batch.z_0.device.type) == ("cpu", "meta")
    share = dict.fromkeys(range(len(lanes)), 0.25)
    parts = [
        backward(base, [lane.objective for lane in lanes], part, share, 1)
        for part in batch.microbatches(rows)
    ]
    for term in Term:
        values = torch.cat([part[term] for part in parts])
        assert (values.shape, values.device.type) == ((len(batch),), "meta")


def test_a_mix_up_would_show() -> None:
    with pytest.raises(RuntimeError, match="device"):
        torch.zeros(2, 3, device=META) + torch.zeros(2, 3)
