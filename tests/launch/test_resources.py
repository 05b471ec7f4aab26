"""Slots: how jobs share a machine's cores and GPUs."""

from __future__ import annotations

import pytest

from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.planning import host_resources
from scoft_hpc.launch.planning.host_resources import job_slots


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Eight cores, 5 GB free, no GPU."""
    monkeypatch.setattr(host_resources, "cores", lambda: 8)
    monkeypatch.setattr(host_resources, "memory", lambda: 5 * 10**9)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return monkeypatch


def test_cores_are_shared_out_as_far_as_the_memory_goes() -> None:
    slots = job_slots("auto", None, None, runs=25)
    assert len(slots) == 5
    assert {slot.env["OMP_NUM_THREADS"] for slot in slots} == {"1"}
    assert {slot.env["MKL_NUM_THREADS"] for slot in job_slots("cpu", 2, None, runs=25)} == {"4"}
    assert {slot.env["OMP_NUM_THREADS"] for slot in job_slots("cpu", 2, 3, runs=25)} == {"3"}


def test_no_more_jobs_than_runs() -> None:
    (slot,) = job_slots("auto", None, None, runs=1)
    assert slot.env["OMP_NUM_THREADS"] == "8"


def test_a_gpu_each_and_more_jobs_share_them(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    assert [slot.env["CUDA_VISIBLE_DEVICES"] for slot in job_slots("auto", None, None, runs=9)] == ["4", "6"]
    assert [slot.env["CUDA_VISIBLE_DEVICES"] for slot in job_slots("cuda", 3, None, runs=9)] == [
        "4",
        "6",
        "4",
    ]
    assert [slot.env["CUDA_VISIBLE_DEVICES"] for slot in job_slots("cpu", 2, None, runs=9)] == ["", ""]


def test_one_named_gpu_takes_every_job_and_keeps_its_number(machine: pytest.MonkeyPatch) -> None:
    machine.setenv("CUDA_VISIBLE_DEVICES", "4,6")
    (slot,) = job_slots("cuda:1", None, None, runs=9)
    assert slot.device == "cuda:1"
    assert "CUDA_VISIBLE_DEVICES" not in slot.env
    assert len(job_slots("cuda:1", 2, None, runs=9)) == 2


@pytest.mark.parametrize(
    ("visible", "gpus"), [("", []), ("-1", []), ("0", ["0"]), ("GPU-a1, 2", ["GPU-a1", "2"])]
)
def test_visible_gpus_are_read_from_the_environment(
    machine: pytest.MonkeyPatch, visible: str, gpus: list[str]
) -> None:
    machine.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert host_resources.gpus() == gpus


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"cluster\.jobs=0"):
        job_slots("auto", 0, None, runs=1)
    with pytest.raises(ConfigError, match="threads=-2"):
        job_slots("auto", None, -2, runs=1)
    with pytest.raises(ConfigError, match="no GPU was found"):
        job_slots("cuda", None, None, runs=1)


def test_a_containers_quota_counts(
    machine: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    machine.undo()
    group = tmp_path_factory.mktemp("cgroup")
    (group / "cpu.max").write_text("100000 100000\n")
    (group / "memory.max").write_text(f"{2 * 10**9}\n")
    (group / "memory.current").write_text(f"{5 * 10**8}\n")
    machine.setattr(host_resources, "CGROUP", group)
    assert host_resources.cores() == 1
    assert 0 < host_resources.memory() <= 15 * 10**8
    (group / "cpu.max").write_text("max 100000\n")
    assert host_resources.cores() >= 1
