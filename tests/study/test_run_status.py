"""A run's state, told by its files alone."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from scoft_hpc.errors import RunError
from scoft_hpc.study import lease, run_status
from scoft_hpc.study.lease import Lease, Owner
from scoft_hpc.study.metrics_log import STEP, MetricsLog
from scoft_hpc.study.paths import RunDir, StudyDir, studies
from scoft_hpc.study.run_status import Status


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    folder = StudyDir(tmp_path / "study").run("korea-mpc-s0-0123abcd")
    folder.path.mkdir(parents=True)
    return folder


def _dead_claim(run: RunDir) -> None:
    run.lease.write_text(json.dumps(asdict(replace(Owner.me(), started="1"))))


def test_planned(run: RunDir) -> None:
    assert run_status.status(run) is Status.planned
    assert run_status.step(run) == 0
    assert run_status.failure(run) is None


def test_running_while_its_owner_lives(run: RunDir) -> None:
    held = Lease.acquire(run.lease)
    assert run_status.status(run) is Status.running
    held.release()
    assert run_status.status(run) is Status.planned


def test_lost_when_its_owner_is_dead(run: RunDir) -> None:
    _dead_claim(run)
    assert run_status.status(run) is Status.lost


def test_failed_and_tried_again(run: RunDir) -> None:
    run_status.write_failure(run, "nan", "loss became NaN", 17)
    assert run_status.status(run) is Status.failed
    held = Lease.acquire(run.lease)
    assert run_status.status(run) is Status.running, "a living owner outranks an old failure"
    assert run_status.start_attempt(run) == 2
    held.release()
    assert run_status.status(run) is Status.planned
    run_status.write_failure(run, "error", "again", 18)
    _dead_claim(run)
    assert run_status.status(run) is Status.failed, "the reason is known, so the run is not lost"
    assert run_status.start_attempt(run) == 3
    assert [json.loads((run.path / f"failure-{i}.json").read_text())["cause"] for i in (1, 2)] == [
        "nan",
        "error",
    ]


def test_first_attempt(run: RunDir) -> None:
    assert run_status.start_attempt(run) == 1
    assert run_status.start_attempt(run) == 1, "an interrupted attempt is no failed one"


def test_failure_tells_why(run: RunDir) -> None:
    run_status.write_failure(run, "nan", "loss became NaN", 17)
    failure = run_status.failure(run)
    assert failure is not None
    assert (failure["cause"], failure["message"], failure["step"]) == ("nan", "loss became NaN", 17)


def test_done_outranks_everything(run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(lease.JOB, "12_3")
    monkeypatch.setenv(lease.RESTART, "1")
    held = Lease.acquire(run.lease)
    log = MetricsLog(run.metrics, 0)
    log.append({STEP: 3})
    log.close()
    run.lora.write_bytes(b"weights")
    run.samples.mkdir()
    (run.samples / "p00-s00.png").touch()
    run_status.write_failure(run, "error", "an earlier one", 1)
    run_status.write_result(run, held, 2, {"train": 1.5, "generate": 0.5, "score": 0.1})
    assert run_status.status(run) is Status.done
    result = run_status.result(run)
    assert (result["run_id"], result["steps"], result["attempt"], result["samples"]) == (run.run_id, 3, 2, 1)
    assert (result["job"], result["restart"]) == ("12_3", 1)
    assert result["lora_sha256"] == hashlib.sha256(b"weights").hexdigest()


def test_superseded_owner_cannot_publish(run: RunDir) -> None:
    zombie = Lease.acquire(run.lease)
    run.lease.write_text(json.dumps(asdict(replace(Owner.me(), token="successor"))))
    with pytest.raises(RunError, match="another process has taken this run over"):
        run_status.write_result(run, zombie, 1, {})
    assert run_status.status(run) is Status.running


def test_result_with_nan_is_refused_and_nothing_is_published(run: RunDir) -> None:
    held = Lease.acquire(run.lease)
    with pytest.raises(ValueError, match="not JSON compliant"):
        run_status.write_result(run, held, 1, {"train": float("nan")})
    assert run_status.status(run) is Status.running
    assert not run.result.exists()


@pytest.mark.parametrize("name", ["../other", "a/b", "", ".hidden", "/etc", "A" * 200, "x\0y"])
def test_run_id_cannot_leave_its_study(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="not a run id"):
        StudyDir(tmp_path).run(name)


def test_studies_come_latest_first(tmp_path: Path) -> None:
    assert studies(tmp_path / "none") == []
    for name, age in (("old", 100), ("new", 0)):
        study = StudyDir(tmp_path / name)
        study.path.mkdir()
        study.plan.write_text("{}")
        os.utime(study.plan, (1e9 - age, 1e9 - age))
    (tmp_path / "data").mkdir()
    assert [study.name for study in studies(tmp_path)] == ["new", "old"]
