"""The README's way on a cluster, typed in its order; shortened by settings, never replaced."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from readme_commands import SHORT, on_a_cluster
from slurm.machine import Machine
from waiting import PATIENCE, wait_until

MORE = {
    "doctor": ["device=cpu"],
    "sweep": ["device=cpu", "threads=1", *SHORT["train"]],
}


def test_from_the_doctor_to_the_table(cluster: Machine, tmp_path: Path) -> None:
    typed = {}
    for line in on_a_cluster():
        verb = line[2].removeprefix("scoft_hpc.")
        account = [argument.replace("GRANT", "abc123p") for argument in line[1:]]
        command = [sys.executable, *account, *MORE.get(verb, [])]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert "Traceback" not in ended.stderr
        typed[verb] = ended.stdout
    assert list(typed) == ["doctor", "sweep", "status", "logs", "why", "retry", "cancel"]
    assert "done:" in typed["status"]  # it watched to the end
    study = tmp_path / "outputs/loss_terms-all-toy"
    assert len(list(study.glob("runs/*/result.json"))) == 25
    wait_until(study.joinpath("report.html").exists, "the last job to gather the results")
