"""Loss scaling: a lane's own, undone before the update, halved on overflow, kept over an interruption."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tiny
from scoft_hpc.config.schema import Model, Precision, RunConfig, Variant
from scoft_hpc.study import metrics_log
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.training import checkpoint
from scoft_hpc.training.loop import gradients, train
from scoft_hpc.training.scaler import LossScale


def config(precision: Precision, variant: Variant = Variant.mpc) -> RunConfig:
    return tiny.config(variant, model=Model(precision=precision))


def test_the_scale_halves_on_overflow_and_doubles_after_patience() -> None:
    scale = LossScale(scale=8.0, growth_interval=3)
    for finite, expected in [(True, 8.0), (False, 4.0), (True, 4.0), (True, 4.0), (True, 8.0), (True, 8.0)]:
        scale.update(finite)
        assert scale.scale == expected


def test_scaling_changes_no_digit() -> None:
    """In fp32 arithmetic a power of two comes out as it went in."""
    base = tiny.base()
    plain, scaled = tiny.lanes(base, [config(Precision.fp32), config(Precision.fp16)])
    for _ in range(3):
        gradients(base, [plain, scaled])
        assert torch.equal(plain.gradient * 2.0**16, scaled.gradient)
        plain.update()
        scaled.update()
    assert torch.equal(plain.weights, scaled.weights)


def test_an_overflow_leaves_out_the_update_of_its_lane_alone(tmp_path: Path) -> None:
    base = tiny.base()
    pack = tiny.pack(tmp_path, base, [config(Precision.fp16), config(Precision.fp16, Variant.ldm)])
    one, two = (training.lane for training in pack)
    gradients(base, [one, two])
    one.gradient[3] = torch.inf
    before = one.weights.clone(), two.weights.clone()
    assert one.update()[0] == torch.inf
    two.update()
    assert torch.equal(one.weights, before[0]) and not torch.equal(two.weights, before[1])
    assert (one.step, one.skipped, one.scale.scale) == (1, 1, 2.0**15)
    assert (two.step, two.skipped, two.scale.scale) == (1, 0, 2.0**16)
    train(base, pack, StopFlag(), 1e9)
    rows = list(metrics_log.read(pack[0].run.metrics))
    assert [row["loss_scale"] for row in rows] == [2.0**15] * 5 and rows[-1]["skipped"] == 1


def test_a_gradient_that_no_scale_keeps_finite_is_an_error() -> None:
    base = tiny.base()
    (lane,) = tiny.lanes(base, [config(Precision.fp16)])
    with pytest.raises(FloatingPointError, match="not finite"):
        for _ in range(30):
            lane.gradient.fill_(torch.nan)
            lane.update()
    assert lane.weights.isfinite().all()


def test_the_scale_outlives_an_interruption(tmp_path: Path) -> None:
    base = tiny.base()
    (lane,) = tiny.lanes(base, [config(Precision.fp16)])
    lane.scale.scale, lane.scale.updates_since_change, lane.skipped = 4.0, 17, 3
    lane.save(tmp_path)
    (other,) = tiny.lanes(tiny.base(), [config(Precision.fp16)])
    other.restore(checkpoint.read(checkpoint.existing(tmp_path)[0]))
    assert (other.scale.scale, other.scale.updates_since_change, other.skipped) == (4.0, 17, 3)
