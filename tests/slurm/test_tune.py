"""A search on the real queue: a round a call, sent once; the next one when the last is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoft_hpc.config.compose import compose
from scoft_hpc.study import atomic, job_array
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import read
from scoft_hpc.sweep import sweep
from slurm.machine import Machine


def test_a_call_sends_one_round(cluster: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "sweep=tune",
        "tune.trials=3",
        "tune.parallel=2",
        "culture=korea",
        "cluster=slurm",
        "cluster.sbatch.begin=now+1hour",  # the jobs wait: they are ended by hand
        "device=cpu",
        f"output={tmp_path}",
    ]
    first, second = StudyDir(tmp_path / "tune-r01"), StudyDir(tmp_path / "tune-r02")

    def call() -> str:
        assert sweep(compose("sweep", arguments), arguments) == 0
        return capsys.readouterr().out

    text = call()
    assert "sent: 1 prepare and 1 train task" in text and "SU" in text
    assert "round 1 is submitted; when it has ended, the same command continues" in text
    sent = job_array.read_all(first)
    assert "nothing to send: 2 runs still in the queue" in call()
    assert [one.job for one in job_array.read_all(first)] == [
        one.job for one in sent
    ] and not second.plan.exists()
    for number, entry in enumerate(read(first).runs, start=1):
        run = first.run(entry.run_id)
        atomic.write_json(run.scores, {"metrics": {"default_style": {"value": number / 4, "n": 4}}})
        atomic.write_json(run.result, {"run_id": run.run_id})
    for one in sent:
        cluster.run("scancel", str(one.job))
    text = call()
    assert "round 2 is submitted" in text and "0.25" in text
    assert len(read(first).runs) == 2 and len(read(second).runs) == 1
    assert len(job_array.read_all(second)) == 2
