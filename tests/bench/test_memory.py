"""The memory formula: as the real networks count, and what follows from it for packs and for what a site lends."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import memory as bench
import meta_networks

from scoft_hpc.config import compose
from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.config.schema import Architecture, Lora, Precision
from scoft_hpc.data.culture_cache import CachedCulture
from scoft_hpc.inputs import memory_model
from scoft_hpc.inputs.model_costs import COSTS
from scoft_hpc.launch.planning import host_resources
from scoft_hpc.models.conditioning import Conditioning


def config(*arguments: str, model: str = "sd14", cluster: str = "bridges2") -> SweepConfig:
    composed: SweepConfig = compose.compose("sweep", [f"model={model}", f"cluster={cluster}", *arguments])
    return composed


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:grad and param do not obey the gradient layout contract")
@pytest.mark.parametrize(
    ("precision", "architecture", "resolution", "lanes", "rows"),
    [
        (Precision.fp32, Architecture.sd1, 512, 1, 4),
        (Precision.bf16, Architecture.sd1, 256, 8, 16),
        (Precision.fp16, Architecture.sd2, 768, 2, 2),
    ],
)
def test_formula_is_what_the_networks_hold(
    precision: Precision, architecture: Architecture, resolution: int, lanes: int, rows: int
) -> None:
    plain = bench.plain(precision=precision, architecture=architecture, resolution=resolution)
    assert memory_model.tensors_gb(plain, lanes, rows) == pytest.approx(
        bench.counted(plain, lanes, rows), rel=0.1
    )


def test_adapters_count_by_rank_and_by_the_layers_they_are_in() -> None:
    whole, small = config(), config("lora.rank=16")
    per_lane = [
        memory_model.tensors_gb(one, 5, 1) - memory_model.tensors_gb(one, 4, 1) for one in (whole, small)
    ]
    assert per_lane == pytest.approx([12_754_944 * 16 / 1e9, 12_754_944 * 4 / 1e9], rel=1e-6)
    assert memory_model.tensors_gb(config("lora.targets=[to_q]"), 4, 1) < memory_model.tensors_gb(whole, 4, 1)


@pytest.mark.parametrize("architecture", Architecture)
def test_the_table_has_the_size_of_an_adapter(architecture: Architecture) -> None:
    targets = config().lora.targets
    stack = meta_networks.base(architecture).adapt(1, Lora(rank=2, targets=targets))
    adapter = COSTS[architecture].adapter
    assert set(adapter) == set(targets)
    assert stack.weights.numel() == 2 * sum(adapter.values())


@pytest.mark.parametrize("gigabytes", [16, 32, 48, 80])
def test_a_pack_is_as_large_as_fits(gigabytes: float) -> None:
    one = config()
    lanes = memory_model.max_lanes(one, gigabytes)
    assert memory_model.required_gb(one, lanes, lanes * 4) <= gigabytes
    assert (
        lanes == memory_model.MAX_LANES
        or memory_model.required_gb(one, lanes + 1, (lanes + 1) * 4) > gigabytes
    )
    assert (
        1
        <= memory_model.max_lanes(replace(one, model=replace(one.model, precision=Precision.bf16)), gigabytes)
        == lanes
    )


def test_rows_fill_a_gpu_and_are_shared_out_evenly() -> None:
    one = config()
    assert memory_model.rows_per_pass(one, 1, 80) == 4
    assert memory_model.rows_per_pass(one, 8, 80) == 11  # 32 in three passes
    assert memory_model.rows_per_pass(one, 8, 1) == 1
    assert memory_model.rows_per_pass(config(model="toy"), 16, 16) == 64


def test_one_lane_stays_where_its_update_does_not_fit_in_one_pass() -> None:
    one = config("model.precision=fp32")
    between = (memory_model.required_gb(one, 1, 1) + memory_model.required_gb(one, 1, 4)) / 2
    assert memory_model.max_lanes(one, between) == 1
    assert 1 <= memory_model.rows_per_pass(one, 1, between) < 4
    assert memory_model.max_lanes(one, memory_model.required_gb(one, 1, 1) - 0.01) == 0


def test_bf16_on_a_v100_is_refused_with_what_to_take_instead() -> None:
    (fault,) = memory_model.check_gpu(config("model.precision=bf16"), config().cluster)
    assert "v100-32 cannot compute in bf16" in fault
    assert "model.precision=fp16 or cluster.gpu=l40s-48 or cluster.gpu=h100-80" in fault
    assert memory_model.check_gpu(config("model.precision=bf16"), config("cluster.gpu=h100-80").cluster) == []
    assert memory_model.check_gpu(config("model.precision=bf16", "device=cpu"), config().cluster) == []


def test_a_model_too_large_for_the_gpu_is_refused() -> None:
    large = config("model.precision=fp32", "cluster.gpu=v100-16")
    (fault,) = memory_model.check_gpu(large, large.cluster)
    assert "v100-16 has 16" in fault
    assert "model.precision=fp16" in fault and "cluster.gpu=v100-32" in fault


def test_nothing_is_said_of_a_gpu_that_nobody_knows() -> None:
    large = config("model.precision=bf16", "model.resolution=2048", cluster="slurm")
    assert memory_model.check_gpu(large, large.cluster) == []


def test_a_culture_is_as_large_as_its_tensors() -> None:
    """Without targets of a compact distance."""
    one = config("objective.distance=clip", "data.negatives.per_positive=2", "model.resolution=256")
    pairs, latent, states = 3, 32, (77, 768)
    culture = CachedCulture(
        moments=torch.zeros(pairs, 2, 2, 4, latent, latent),
        text=Conditioning({"states": torch.zeros(pairs, *states)}),
        generic=Conditioning({"states": torch.zeros(pairs, *states)}),
        null=Conditioning({"states": torch.zeros(1, *states)}),
        positive=torch.zeros(pairs, 3, 256, 256, dtype=torch.uint8),
        negative=torch.zeros(pairs, 2, 3, 256, 256, dtype=torch.uint8),
        negative_mask=torch.ones(pairs, 2, dtype=torch.bool),
    )
    held = sum(value.nbytes for value in vars(culture).values() if isinstance(value, torch.Tensor))
    held += sum(one.tensors["states"].nbytes for one in (culture.text, culture.generic, culture.null))
    assert memory_model.cache_gb(one, pairs) == pytest.approx(held / 1e9, rel=0.1)


def test_what_a_site_lends_decides_how_many_lanes_share_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    one = compose.compose("train", ["model=sd14"])
    elsewhere = replace(one, device="cpu")
    assert host_resources.max_lanes([one], config().cluster) == memory_model.max_lanes(one, 32) == 5
    assert host_resources.max_lanes([one], config("cluster.gpu=h100-80").cluster) == memory_model.max_lanes(
        one, 80
    )
    assert host_resources.max_lanes([one], config("cluster.lanes=3").cluster) == 3
    assert host_resources.max_lanes([elsewhere], config().cluster) == host_resources.DEFAULT_LANES
    monkeypatch.setattr(host_resources, "gpu_gigabytes", lambda: 24.0)
    assert host_resources.max_lanes([one], config(cluster="local").cluster) == memory_model.max_lanes(one, 24)
    monkeypatch.setattr(host_resources, "gpu_gigabytes", lambda: None)
    assert host_resources.max_lanes([one], config(cluster="local").cluster) == host_resources.DEFAULT_LANES


def test_without_a_gpu_there_is_none_to_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert host_resources.gpu_gigabytes() is None
