"""Slurm's answers, read: formats as Slurm 22.05 gives them; the real one is asked in tests/slurm."""

from __future__ import annotations

import math

import pytest

from scoft_hpc.errors import LaunchError
from scoft_hpc.launch.slurm import client

LINES = """\
12|3|RUNNING|None|s.train-1|1-02:03:04|2026-09-01T10:00:00|1:00
12|4|PENDING|Priority|s.train-1|0:00|N/A|UNLIMITED
12|0-3,7|PENDING|JobArrayTaskLimit|s.train-1|0:00|N/A|UNLIMITED
90|N/A|RUNNING|None|bash|5:10|2026-09-01T10:00:00|1:00
slurm_load_jobs error: half a line
"""


def test_squeue() -> None:
    running, pending = client.parse_queue(LINES)
    assert (running.job, running.index, running.elapsed_seconds, running.alive) == (12, 3, 93784.0, True)
    assert (running.remaining_seconds, pending.remaining_seconds) == (60.0, math.inf)
    assert (pending.reason, pending.start) == ("Priority", "N/A")
    queue = client.Queue([running, pending])
    assert queue.find("s.train-1", 12, 4) is pending and queue.find("s.train-1", 12, 5) is None
    assert queue.find("s.train-1", None, 3) is None
    assert queue.find("s.train-2", 12, 3) is None  # the number was given out twice
    assert queue.named("s.train-1") == 12 and queue.named("another") is None


def test_sacct_adds_up_the_starts_and_keeps_the_last_state() -> None:
    text = """\
12_3|PREEMPTED|100|s.train-1
12_3|CANCELLED by 1000|50|s.train-1
12_3|COMPLETED|9|another
12_4|TIMEOUT|600|s.train-1
12|COMPLETED|1|s.train-1
12_3.batch|FAILED|9|batch
"""
    records = client.parse_accounting(text)
    assert records == {
        ("s.train-1", 12, 3): ("CANCELLED", 150.0),
        ("another", 12, 3): ("COMPLETED", 9.0),
        ("s.train-1", 12, 4): ("TIMEOUT", 600.0),
    }


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0:00", 0), ("1:02", 62), ("1:00:00", 3600), ("2-00:00:01", 172801), ("INVALID", 0), ("", 0)],
)
def test_duration(text: str, seconds: float) -> None:
    assert client.parse_duration(text) == seconds


def test_jobs_inherit_no_other_job_and_no_secret() -> None:
    around = {
        "SLURM_CPU_BIND": "x",
        "SLURM_CONF": "/etc/slurm.conf",
        "SBATCH_PARTITION": "x",
        "SCOFT_JOB": "1_2",
        "HF_TOKEN": "x",
        "WANDB_API_KEY": "x",
        "PATH": "/bin",
        "HF_HOME": "/cache",
    }
    assert client.clean_environment(around) == {
        "SLURM_CONF": "/etc/slurm.conf",
        "PATH": "/bin",
        "HF_HOME": "/cache",
    }


def test_without_slurm_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert not client.is_available()
    with pytest.raises(LaunchError, match="no Slurm"):
        client.queue()
