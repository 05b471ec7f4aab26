"""What a training step costs at full size, counted: it must not grow."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import flops

from scoft_hpc.config.schema import Architecture
from scoft_hpc.inputs.model_costs import COSTS


@pytest.fixture(scope="module")
def cost() -> flops.Cost:
    return flops.ours(4)


@pytest.mark.slow
def test_a_packed_cycle_costs_what_the_mathematics_needs(cost: flops.Cost) -> None:
    assert 60 < cost.tflop <= 63.5


def test_accumulation_and_guidance_are_real_batches(cost: flops.Cost) -> None:
    assert 0 < cost.calls <= 48


def test_nothing_is_encoded_or_loaded_in_the_loop(cost: flops.Cost) -> None:
    assert (cost.vae_encodes, cost.text_encodes, cost.loads) == (0, 0, 0)


@pytest.mark.slow
def test_kernels_do_not_grow_with_lanes() -> None:
    alone = flops.kernels(1)
    assert alone > 1000
    assert [flops.kernels(lanes) for lanes in (4, 16)] == [alone, alone]


@pytest.mark.slow
@pytest.mark.parametrize("architecture", Architecture)
def test_the_table_of_costs_is_what_is_counted(architecture: Architecture) -> None:
    counted = flops.networks(architecture)
    assert set(counted) == set(flops.TITLES)
    assert counted == pytest.approx({field: getattr(COSTS[architecture], field) for field in counted}, abs=1)
