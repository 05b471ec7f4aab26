"""Slurm itself takes the scripts that the golden files hold, where it has the partition that they name."""

from __future__ import annotations

import pytest

from launch.golden import FOLDER
from slurm.machine import Machine


@pytest.mark.parametrize("site", ["slurm", "bridges2"])
def test_slurm_takes_the_script(site: str, cluster: Machine) -> None:
    answer = cluster.run("sbatch", "--test-only", str(FOLDER / f"{site}.sbatch"))
    assert "to start at" in answer and "in partition GPU-shared" in answer
