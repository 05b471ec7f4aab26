"""The rows of an update in several passes: the same numbers, less memory, found by itself where the memory is small."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tiny
from scoft_hpc.config.schema import ContrastiveForm, Gradient, Variant
from scoft_hpc.data.training_batch import concatenate
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.families.stable_diffusion import StableDiffusion
from scoft_hpc.models.oom_backoff import MicrobatchSize
from scoft_hpc.study import metrics_log
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.training.loop import gradients, train

LANES = [
    tiny.config(Variant.mpc, objective={"every": 2}),
    tiny.config(Variant.ldm, seed=1),
    tiny.config(
        Variant.mpc, objective={"every": 3, "gradient": Gradient.last, "form": ContrastiveForm.triplet}
    ),
    tiny.config(Variant.mp, objective={"every": 2, "gradient": Gradient.random}),
]


@pytest.mark.parametrize("rows", [1, 3, 4, 7])
def test_passes_hold_each_row_once_and_active_ones_first(rows: int) -> None:
    lanes = tiny.lanes(base := tiny.base(), LANES)
    whole = concatenate([lane.next_batch(base.process) for lane in lanes])
    parts = list(whole.microbatches(rows))
    assert max(map(len, parts)) == rows
    rolling = [len(part.active) for part in parts]
    assert sum(rolling) == len(whole.active) and rolling == sorted(rolling, reverse=True)
    assert len([n for n in rolling if n]) == math.ceil(len(whole.active) / rows)
    still = [row for row in range(len(whole)) if row not in whole.active.tolist()]
    order = [*whole.active.tolist(), *still]
    for name in ("lane", "t", "z_0", "eps"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts]), getattr(whole, name)[order])
    for name in ("text", "generic"):
        joined = Conditioning.cat(getattr(part, name) for part in parts).tensors["states"]
        assert torch.equal(joined, getattr(whole, name)[order].tensors["states"])
    assert torch.equal(torch.cat([part.noise for part in parts], 1), whole.noise)
    assert torch.equal(torch.cat([part.grad_call for part in parts]), whole.grad_call)
    for lane, targets in whole.targets.items():
        own = [part.targets[lane] for part in parts if lane in part.targets]
        for name, value in vars(targets).items():
            if value is not None:
                assert torch.equal(torch.cat([getattr(one, name) for one in own]), value), name


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 3, 7])
def test_passes_give_the_gradient_of_the_whole(rows: int) -> None:
    base = tiny.base()
    lanes = tiny.lanes(base, LANES)
    for _ in range(2):
        whole, expected = gradients(base, lanes), [lane.gradient.clone() for lane in lanes]
        parts = gradients(base, lanes, rows)
        for lane, gradient, one, two in zip(lanes, expected, parts, whole, strict=True):
            assert (lane.gradient - gradient).norm() <= 1e-5 * gradient.norm()
            assert one == pytest.approx(two, rel=1e-5, nan_ok=True)
            lane.update()


def allocate_too_much(base: StableDiffusion, rows: int) -> list[int]:
    """Let the U-Net ask the allocator for a petabyte where more than `rows` rows with a gradient go through."""
    seen = []

    def ask(module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if torch.is_grad_enabled():
            seen.append(len(inputs[0]))
            if len(inputs[0]) > rows:
                torch.empty(2**50)

    base.unet.register_forward_pre_hook(ask)
    return seen


@pytest.mark.slow
def test_out_of_memory_halves_the_rows_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plain = tiny.pack(tmp_path / "plain", base := tiny.base(), LANES)
    train(base, plain, StopFlag(), 1e9)
    small = tiny.pack(tmp_path / "small", base := tiny.base(), LANES)
    seen = allocate_too_much(base, 5)
    microbatch = MicrobatchSize()
    train(base, small, StopFlag(), 1e9, microbatch)
    assert microbatch.rows == 4 and max(seen[3:]) <= 4
    assert "out of memory with 16 rows at a time, continuing with 8" in caplog.text
    for one, two in zip(plain, small, strict=True):
        assert two.error is None
        assert (one.lane.weights - two.lane.weights).norm() <= 1e-4 * one.lane.weights.norm()
        assert [row.get("rows") for row in metrics_log.read(two.run.metrics)] == [4] * 6


def test_out_of_memory_with_a_single_row_is_the_lanes_error(tmp_path: Path) -> None:
    pack = tiny.pack(tmp_path, base := tiny.base(), LANES[:2])
    allocate_too_much(base, 0)
    microbatch = MicrobatchSize(2)
    train(base, pack, StopFlag(), 1e9, microbatch)
    assert microbatch.rows == 1
    assert all("allocate" in str(training.error) for training in pack)
