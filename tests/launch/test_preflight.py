"""A plan against the memory of the cluster's GPU and the space on the disk, before anything queues."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoft_hpc.config import compose
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.planning import preflight
from scoft_hpc.launch.planning.plan import Run


def require(tmp_path: Path, *arguments: str) -> None:
    sweep = compose.compose("sweep", [f"output={tmp_path}", "culture=korea", *arguments])
    preflight.require_capacity(
        [Run("one", sweep, 1), Run("two", sweep, 1)], tmp_path / "none" / "yet", sweep.cluster
    )


def test_what_fits_is_let_through(tmp_path: Path) -> None:
    require(tmp_path)
    require(tmp_path, "cluster=bridges2", "model=sd14")
    require(tmp_path, "cluster=bridges2", "model=sd14", "model.precision=bf16", "cluster.gpu=h100-80")
    require(tmp_path, "model=sd14", "model.precision=bf16", "variant=base")


def test_bf16_on_a_v100_is_refused_once_with_what_to_take(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        require(tmp_path, "cluster=bridges2", "model=sd14", "model.precision=bf16")
    assert "v100-32 cannot compute in bf16" in str(error.value) and "cluster.gpu=h100-80" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_model_too_large_for_the_gpu_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"takes about .* GB .*v100-16 has 16"):
        require(tmp_path, "cluster=bridges2", "cluster.gpu=v100-16", "model=sd21", "model.precision=fp32")


def test_caches_that_the_disk_has_no_room_for_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the caches of 1 culture take about .* GB, and .* GB are free"):
        require(tmp_path, "model.resolution=800000")
