"""What was sent, on disk: written before, completed after, read back whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from launch.array_records import NOW, RUN, array, attempt
from scoft_hpc.errors import LaunchError
from scoft_hpc.study import costs
from scoft_hpc.study import job_array as arrays
from scoft_hpc.study.job_array import AccountingRecord, JobArray
from scoft_hpc.study.paths import StudyDir


def spent(array: JobArray) -> float:
    return costs.total(costs.by_stage([array])).su


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return StudyDir(tmp_path / "study")


def test_read_back(study: StudyDir) -> None:
    sent = array(job=None)
    arrays.write(study, sent)
    folder = arrays.folder_of(study, sent.name)
    assert arrays.read_all(study) == [sent]
    assert arrays.record_job(folder, 12) == 12
    arrays.write_attempt(folder, attempt())
    arrays.write_attempt(folder, attempt(1, ended=NOW, code=0))
    arrays.save_accounting(study, sent, {0: AccountingRecord("TIMEOUT", 60.0)})
    (stored,) = arrays.read_all(study)
    assert stored.job == 12 and stored.accounting == {0: AccountingRecord("TIMEOUT", 60.0)}
    assert [one.restart for one in stored.attempts] == [0, 1]
    last = stored.last(0)
    assert last is not None and last.restart == 1 and stored.last(1) is None


def test_the_first_number_stands(study: StudyDir) -> None:
    """Of two arrays that one lost answer of sbatch made, or of a late one after the array was closed."""
    folder = arrays.folder_of(study, "train-1")
    folder.mkdir(parents=True)
    assert arrays.record_job(folder, 12) == 12
    assert arrays.record_job(folder, 13) == 12
    closed = arrays.folder_of(study, "train-2")
    closed.mkdir()
    assert arrays.record_job(closed, 0) == 0
    assert arrays.record_job(closed, 14) == 0
    assert sorted(path.name for path in folder.iterdir()) == ["job.json"]


def test_without_hard_links_the_first_number_stands_too(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    folder = arrays.folder_of(study, "train-1")
    folder.mkdir(parents=True)
    assert [arrays.record_job(folder, number) for number in (12, 13)] == [12, 12]


def test_spent_counts_lost_attempts_and_what_slurm_saw_of_them() -> None:
    killed = attempt(0, started=NOW - 3600, last_heartbeat=NOW - 1800)  # its last sign of life
    whole = attempt(1, started=NOW - 1800, ended=NOW - 900, code=0)
    assert spent(array(attempts=(killed, whole), su_per_hour=2.0)) == pytest.approx(2 * (0.5 + 0.25))
    seen = array(attempts=(killed,), accounting={0: AccountingRecord("PREEMPTED", 2700.0)})
    assert spent(seen) == pytest.approx(0.75)


@pytest.mark.parametrize("torn", ["", '{"job": 1', '{"accepted": 5.0}'])
def test_a_torn_number_is_written_again(torn: str, study: StudyDir) -> None:
    """Else whoever waits for the array to have a number waits for ever."""
    sent = array(job=None)
    arrays.write(study, sent)
    folder = arrays.folder_of(study, sent.name)
    (folder / "job.json").write_text(torn)
    assert arrays.read(folder).job is None
    assert arrays.record_job(folder, 12) == 12 and arrays.read(folder).job == 12
    assert arrays.record_job(folder, 13) == 12  # a whole one stands


def test_another_version_is_refused_and_a_torn_attempt_passed_over(study: StudyDir) -> None:
    sent = array()
    arrays.write(study, sent)
    folder = arrays.folder_of(study, sent.name)
    (folder / "0.0.json").write_text('{"task": 0')
    assert arrays.read_all(study)[0].attempts == ()
    content = json.loads((folder / "array.json").read_text())
    assert content["tasks"] == [[RUN]]
    (folder / "array.json").write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(LaunchError, match="99"):
        arrays.read_all(study)
