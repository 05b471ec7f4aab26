"""The profiles of Slurm sites: each composes, and what would be sent there is exactly its golden file."""

from __future__ import annotations

import difflib
import re
import subprocess
from dataclasses import replace

import pytest

from launch.golden import FOLDER, SITES, script
from scoft_hpc.config import compose
from scoft_hpc.config.cluster import Cluster, Scheduler, gpu_of
from scoft_hpc.config.validation import validate_launch


def profile(site: str) -> Cluster:
    cluster: Cluster = compose.compose("sweep", [f"cluster={site}"]).cluster
    return cluster


@pytest.mark.parametrize("site", SITES)
def test_profile_is_whole(site: str) -> None:
    config = compose.compose("sweep", [f"cluster={site}"])
    cluster = config.cluster
    assert validate_launch(config) == []
    assert (cluster.name, cluster.scheduler) == (site, Scheduler.slurm)
    for name in cluster.gpus:
        gres, gpu = gpu_of(replace(cluster, gpu=name))
        assert gres in ("", name)
        assert gpu.su_per_hour > 0 and gpu.tflops > 0
    if site != "slurm":
        assert cluster.gpus and cluster.documentation.startswith("https://")
        assert re.fullmatch(r"20\d\d-\d\d(-\d\d)?", cluster.checked)


def test_bridges2_has_the_gpus_of_its_user_guide() -> None:
    cluster = profile("bridges2")
    gpus = {name: gpu_of(replace(cluster, gpu=name))[1] for name in cluster.gpus}
    cores_and_su = {name: (gpu.cores, gpu.su_per_hour) for name, gpu in gpus.items()}
    assert cores_and_su == {"v100-32": (5, 1), "v100-16": (5, 1), "l40s-48": (24, 1), "h100-80": (13, 2)}
    assert (cluster.max_minutes, cluster.max_array) == (48 * 60, 1001)


@pytest.mark.parametrize("site", SITES)
def test_script_is_the_golden_one(site: str) -> None:
    golden, now = (FOLDER / f"{site}.sbatch").read_text(), script(site)
    changes = difflib.unified_diff(golden.splitlines(), now.splitlines(), "golden", "now", lineterm="")
    assert now == golden, "`python tests/launch/golden.py` writes the golden files again\n" + "\n".join(
        changes
    )


@pytest.mark.parametrize("site", SITES)
def test_script_is_bash_and_keeps_variables_for_the_job(site: str) -> None:
    text = script(site)
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    for line in profile(site).setup:
        assert f"\n{line}\n" in text


def test_every_site_is_asked_for_a_gpu_in_its_own_way() -> None:
    requests = {site: re.findall(r"#SBATCH (--g\S+)", script(site)) for site in SITES}
    assert requests == {
        "slurm": ["--gpus=1"],
        "bridges2": ["--gpus=v100-32:1"],
        "expanse": ["--gpus=1"],
        "delta": ["--gpus-per-node=1"],
        "anvil": ["--gpus-per-node=1"],
        "perlmutter": ["--gpus-per-task=1"],
    }
    assert "--partition=gpuH200x8\n" in script("delta", "cluster.gpu=h200")
    assert "--mem=24576M\n" in script("bridges2", "cluster.gpu=v100-16")
