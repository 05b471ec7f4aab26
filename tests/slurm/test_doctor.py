"""`python -m scoft_hpc.doctor` on a real Slurm: what it finds, and what it says of settings that do not fit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from slurm.machine import Machine
from waiting import PATIENCE


def run_external(*arguments: str) -> tuple[int, dict[str, dict[str, str]]]:
    """The exit code, and the findings by their checks."""
    command = [sys.executable, "-m", "scoft_hpc.doctor", "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, {finding["check"]: finding for finding in json.loads(done.stdout)}


def verdicts(checks: dict[str, dict[str, str]], status: str) -> set[str]:
    return {check for check, finding in checks.items() if finding["status"] == status}


def test_a_site_as_its_profile_says_has_no_fault(cluster: Machine, tmp_path: Path) -> None:
    code, checks = run_external("cluster=bridges2", "cluster.account=abc123p", f"output={tmp_path}")
    assert code == 0 and verdicts(checks, "fault") == set()
    assert checks["Slurm"]["observed"].endswith("22.05.8")
    assert checks["MaxArraySize"]["observed"] == "1001"
    assert checks["JobRequeue"]["observed"] == "1"
    assert checks["PreemptMode"]["observed"] == "REQUEUE"
    assert checks["accounting"]["observed"] == "slurmdbd, enforces associations,limits"
    assert checks["partition"]["observed"] == "GPU-shared, up, at most 2-00:00:00"
    assert checks["GPUs"]["observed"] == "v100-32"
    assert checks["sbatch"]["observed"].startswith("accepted, 10 min would start 20")
    assert cluster.run("squeue", "--noheader") == ""  # nothing was sent
    assert list(tmp_path.iterdir()) == []  # nothing was left


def test_a_wrong_account_is_told_the_right_ones(cluster: Machine, tmp_path: Path) -> None:
    code, checks = run_external("cluster=bridges2", "cluster.account=nope", f"output={tmp_path}")
    assert code == 3 and verdicts(checks, "fault") == {"sbatch"}
    assert "Invalid account" in checks["sbatch"]["observed"]
    advice = checks["sbatch"]["advice"]
    assert "cluster.account=nope does not fit" in advice and "abc123p" in advice and "xyz456p" in advice


def test_a_wrong_partition_is_told_the_right_ones(cluster: Machine, tmp_path: Path) -> None:
    code, checks = run_external("cluster=slurm", "cluster.partition=gpu-shared", f"output={tmp_path}")
    assert code == 3 and verdicts(checks, "fault") == {"partition", "sbatch"}
    assert checks["partition"]["observed"] == "gpu-shared is not there"
    assert "GPU-shared, GPU-small, debug" in checks["partition"]["advice"]


def test_a_gpu_that_the_partition_lacks_is_told_the_one_it_has(cluster: Machine, tmp_path: Path) -> None:
    code, checks = run_external("cluster=bridges2", "cluster.gpu=h100-80", f"output={tmp_path}")
    assert code == 3 and verdicts(checks, "fault") == {"GPUs", "sbatch"}
    assert checks["GPUs"]["advice"].endswith("or cluster.gpu=v100-32.")


def test_limits_that_differ_from_the_profile(cluster: Machine, tmp_path: Path) -> None:
    arguments = ["cluster=slurm", "cluster.partition=debug", "cluster.max_array=5000", f"output={tmp_path}"]
    code, checks = run_external(*arguments)
    assert code == 3 and verdicts(checks, "fault") == {"MaxArraySize"}
    assert "cluster.max_array=1001" in checks["MaxArraySize"]["advice"]
    assert "cluster.max_minutes=30" in checks["partition"]["advice"]


def test_a_controller_that_is_down_is_a_fault_told_in_time(cluster: Machine, tmp_path: Path) -> None:
    cluster.stop("slurmctld")
    code, checks = run_external("cluster=slurm", f"output={tmp_path}")
    assert code == 3 and "controller" in verdicts(checks, "fault")
    assert "slurmctld does not answer" in checks["controller"]["advice"]


def test_a_database_that_is_down_keeps_no_sweep_from_running(cluster: Machine, tmp_path: Path) -> None:
    cluster.stop("slurmdbd")
    code, checks = run_external("cluster=slurm", f"output={tmp_path}")
    assert code == 0
    assert checks["accounting"]["status"] == "note"
    assert "slurmdbd does not answer" in checks["accounting"]["advice"]
