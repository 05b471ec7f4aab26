"""`python -m scoft_hpc.doctor` where there is no Slurm, and its probes one by one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoft_hpc.config.schema import Precision
from scoft_hpc.launch.doctor import disk, slurm
from scoft_hpc.launch.doctor.checks import CheckResult, CheckStatus, run_concurrently, run_external
from scoft_hpc.launch.doctor.node import Torch, capability, incompatibility, runs_on
from scoft_hpc.study.filesystem import mount_of
from waiting import PATIENCE

SECRET = "b" * 40


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command on a machine without Slurm."""
    env = {**os.environ, "PATH": "", **environment}
    command = [sys.executable, "-m", "scoft_hpc.doctor", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE)


def read(done: subprocess.CompletedProcess[str]) -> dict[str, dict[str, str]]:
    return {finding["check"]: finding for finding in json.loads(done.stdout)}


@pytest.mark.slow
def test_a_laptop_needs_no_slurm_and_no_secret_is_shown(tmp_path: Path) -> None:
    done = doctor(f"output={tmp_path / 'new'}", WANDB_API_KEY=SECRET, HF_TOKEN=SECRET)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "none, and cluster=local needs none" in done.stdout
    assert "MaxArraySize" not in done.stdout and "sbatch" not in done.stdout.replace("sbatch/fetch.sh", "")
    assert "WANDB_API_KEY, HF_TOKEN" in done.stdout and SECRET not in done.stdout + done.stderr
    assert "Nothing would keep a sweep from running." in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_site_that_is_not_here_is_a_fault(tmp_path: Path) -> None:
    done = doctor("cluster=bridges2", f"output={tmp_path}", "--json")
    checks = read(done)
    assert done.returncode == 3
    assert checks["Slurm"]["status"] == "fault" and "login node" in checks["Slurm"]["advice"]
    assert not {"controller", "partition", "sbatch"} & set(checks)


@pytest.mark.slow
def test_a_disk_that_cannot_be_written_is_a_fault() -> None:
    done = doctor("output=/proc/study", "--json")
    checks = read(done)
    assert done.returncode == 3
    assert (
        checks["output"]["status"] == "fault" and "choose one with output=DIR" in checks["output"]["advice"]
    )


@pytest.mark.slow
def test_words_are_those_of_a_sweep() -> None:
    done = doctor("cluster=bridges3", "traim.lr=1")
    assert done.returncode == 2
    assert "bridges2" in done.stderr and "train.lr" in done.stderr and "Traceback" not in done.stderr
    done = doctor("cluster=bridges2", "cluster.gpu=p100")
    assert done.returncode == 2 and "bridges2 has v100-32, v100-16" in done.stderr


@pytest.mark.slow
def test_the_command_itself_loads_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys; from scoft_hpc import doctor;"
        "assert doctor.main(['output=' + sys.argv[1]]) == 0; sys.exit('torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.DEVNULL).returncode == 0
    )


def test_the_disks_findings_and_nothing_left(tmp_path: Path) -> None:
    results = {finding.check: finding for finding in disk.output_disk(tmp_path / "a" / "b", shared=True)}
    assert results["names"] == CheckResult("names", "rename replaces, hard links are exclusive")
    assert results["locks"].observed == "flock is there"
    assert (
        results["write speed"].observed.endswith("with fsync)") and "MB/s" in results["write speed"].observed
    )
    assert (
        results["output"].status is CheckStatus.note
    )  # a test's folder lies in /tmp, or on a disk of this machine
    assert list(tmp_path.iterdir()) == []


def test_a_nodes_own_disk_is_told_by_the_sites_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL", str(tmp_path))
    finding = next(iter(disk.output_disk(tmp_path / "outputs", shared=True)))
    assert finding.status is CheckStatus.note and "$LOCAL" in finding.advice
    assert next(iter(disk.output_disk(tmp_path / "outputs", shared=False))).status is CheckStatus.ok


def test_mounts_are_found_by_the_longest_name(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda1 / ext4 rw,relatime 0 0\n"
        "10.0.0.1@o2ib:/ocean /ocean lustre rw,localflock,lazystatfs 0 0\n"
        "tmpfs /ocean\\040two tmpfs rw 0 0\n"
    )
    mount = mount_of(Path("/ocean/projects/abc123p/me"), mounts)
    assert (mount.point, mount.kind) == (Path("/ocean"), "lustre") and "localflock" in mount.options
    assert mount_of(Path("/ocean two/x"), mounts).kind == "tmpfs"
    assert mount_of(Path("/home/me"), mounts).kind == "ext4"


def test_quotas_are_read_from_lfs_and_from_quota() -> None:
    lfs = "         /ocean  912680484  0  1048576000  -  1500443  0  12000000  -\n"
    text = "Filesystem  blocks  quota  limit  grace  files  quota  limit  grace\n/dev/sda1 500* 400 600 6days 3 0 0\n"
    wrapped = "/a/long/name\n         912680484  0  1048576000  -  1500443  0  12000000  -\n"
    none = "/ocean  100  0  0  -  3  0  0  -\n"
    assert disk.read_quota(lfs) == [disk.Quota(912680484, 1048576000)]
    assert disk.read_quota(wrapped) == disk.read_quota(lfs)
    assert disk.read_quota(text) == [disk.Quota(500, 400)]
    assert disk.read_quota(none) == []


def test_gpu_types_are_read_from_gres() -> None:
    text = "gpu:v100-32:8(S:0-1)\ngpu:v100-16:8\n(null)\ngpu:4(S:0)\ngpu:h100-80:8,lustre:1\nshard:8\n"
    assert slurm.read_gpus(text) == ["v100-32", "v100-16", "gpu", "h100-80"]


def test_kernels_run_on_their_major_version_and_ptx_on_all_later() -> None:
    assert runs_on(["sm_70", "sm_80"], 70)
    assert not runs_on(["sm_75", "sm_80", "sm_90"], 70)
    assert runs_on(["sm_80"], 86) and not runs_on(["sm_86"], 80) and not runs_on(["sm_80"], 90)
    assert runs_on(["sm_80", "compute_80"], 90) and not runs_on(["compute_90"], 80)
    assert runs_on(["sm_90a"], 90)


def test_a_v100_is_told_which_torch_it_needs() -> None:
    new = Torch("2.15.0+cu130", "13.0", ["sm_75", "sm_80", "sm_90", "compute_90"], [])
    number = capability("v100-32")
    assert number == 70 and capability("GH200") == 90 and capability("mi100") is None
    assert "2.14 built for CUDA 12.6" in incompatibility(new, "v100-32", number, Precision.fp32)
    old = Torch("2.13.0+cu126", "12.6", ["sm_70", "sm_80"], [])
    assert incompatibility(old, "v100-32", number, Precision.fp32) == ""
    assert "no bf16; take model.precision=fp16" in incompatibility(old, "v100-32", number, Precision.bf16)


@pytest.mark.slow
def test_a_probe_that_hangs_or_breaks_is_a_finding() -> None:
    def hangs() -> Iterator[CheckResult]:
        time.sleep(3600)
        yield CheckResult("never", "")

    def breaks() -> Iterator[CheckResult]:
        yield CheckResult("half", "")
        raise OSError("stale file handle")

    results = run_concurrently(
        [("disk", hangs), ("quick", lambda: [CheckResult("quick", "yes")]), ("quota", breaks)], 2.0
    )
    assert [finding.check for finding in results] == ["disk", "quick", "quota"]
    assert [finding.status for finding in results] == [CheckStatus.note, CheckStatus.ok, CheckStatus.note]
    assert "no answer" in results[0].observed and "stale file handle" in results[2].observed


def test_commands_that_are_missing_or_silent_are_answers_too() -> None:
    assert run_external("no-such-command").code is None
    assert run_external("sleep", "3600", seconds=0.2).error_message == "sleep did not answer within 0 s"
    assert run_external("cat", text="hello").output == "hello"
