"""`status` and the report tell the same costs, also of a study with an array that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from invoke import invoke
from scoft_hpc import cancel, retry, status
from scoft_hpc.config.cluster import Cluster, Scheduler
from scoft_hpc.errors import LaunchError
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.slurm import client, launcher
from scoft_hpc.launch.tracking.submission_plan import SubmissionRequest
from scoft_hpc.results import study as results
from scoft_hpc.results.gather import gather
from scoft_hpc.study import costs, job_array
from scoft_hpc.study.job_array import PREPARE
from scoft_hpc.study.paths import StudyDir
from slurm_records import Slurm, attempt, ids, line, send
from studies import plan_study


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return plan_study(tmp_path, ["china", "korea"])


@pytest.fixture(autouse=True)
def queue(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    return Slurm(monkeypatch)


def estimated_by_status(study: StudyDir, capsys: pytest.CaptureFixture[str]) -> float:
    code, out, _ = invoke(status.main, capsys, study.name, "--json", "--output", str(study.path.parent))
    assert code == 0
    return float(json.loads(out)["estimated_su"])


def estimated_by_report(study: StudyDir) -> float:
    return costs.total(results.read(study).costs).estimated_su


def spoil(study: StudyDir, name: str, how: str) -> Path:
    path = job_array.folder_of(study, name) / "array.json"
    content = json.loads(path.read_text())
    if how == "torn":
        path.write_text(path.read_text()[:40])
    elif how == "of another version":
        path.write_text(json.dumps({**content, "version": 99}))
    else:
        path.write_text(json.dumps({key: content[key] for key in content if key != "tasks"}))
    return path.parent


def test_a_run_repacked_with_a_new_one_counts_its_first_estimate(
    study: StudyDir, capsys: pytest.CaptureFixture[str]
) -> None:
    (known,), (new,) = ids(study, "korea-ldm"), ids(study, "korea-mpc")
    send(study, 7, (known,), hours=0.5)
    send(study, 8, (known, new), hours=0.5)
    assert estimated_by_report(study) == pytest.approx(1.5)
    assert estimated_by_status(study, capsys) == pytest.approx(1.5)


def test_an_array_that_slurm_refused_was_not_estimated(
    study: StudyDir, capsys: pytest.CaptureFixture[str]
) -> None:
    send(study, 0, ids(study, "korea-ldm"), hours=0.5)
    assert estimated_by_report(study) == 0.0
    assert estimated_by_status(study, capsys) == 0.0
    send(study, 7, ids(study, "korea-ldm"), hours=1.0)
    assert estimated_by_report(study) == pytest.approx(2.0)
    assert estimated_by_status(study, capsys) == pytest.approx(2.0)


def test_a_culture_to_prepare_and_its_run_to_train_are_two_estimates(
    study: StudyDir, capsys: pytest.CaptureFixture[str]
) -> None:
    send(study, 6, ids(study, "korea-ldm"), stage=PREPARE, hours=0.25)
    send(study, 7, ids(study, "korea-ldm"), hours=1.0)
    assert estimated_by_report(study) == pytest.approx(2.5)
    assert estimated_by_status(study, capsys) == pytest.approx(2.5)


@pytest.mark.parametrize("how", ["torn", "of another version", "of another shape"])
def test_an_array_that_cannot_be_read_is_a_note_and_all_else_is_read(
    how: str, study: StudyDir, capsys: pytest.CaptureFixture[str]
) -> None:
    sound = send(study, 7, ids(study, "korea-ldm"), hours=1.0)
    attempt(study, sound, 0, ended=sound.created + 3600, code=0)
    send(study, 8, ids(study, "china-ldm"), hours=4.0)
    folder = spoil(study, "train-8", how)
    gathered = gather(study)
    assert [str(folder) in note for note in gathered.notes] == [True]
    assert costs.total(gathered.study.costs).estimated_su == pytest.approx(2.0)
    where = ("--output", str(study.path.parent))
    code, out, _ = invoke(status.main, capsys, study.name, *where)
    assert code == 0 and "of about 2.00 estimated" in out
    assert [
        str(folder) in printed_line for printed_line in out.splitlines() if printed_line.startswith("note: ")
    ] == [True]


def test_nothing_is_sent_or_cancelled_blindly_beside_an_array_that_cannot_be_read(
    study: StudyDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], queue: Slurm
) -> None:
    send(study, 7, ids(study, "korea-ldm"))
    folder = spoil(study, "train-7", "torn")
    where = ("--output", str(study.path.parent))
    for command in (retry.main, cancel.main):
        code, out, err = invoke(command, capsys, study.name, *where)
        assert code != 0 and str(folder) in err and "machine" not in err and not queue.cancelled, out + err
    monkeypatch.setattr(client, "require", lambda: None)
    with pytest.raises(LaunchError, match="Nothing was sent"):
        launcher.submit_missing(
            study, plan_store.runs(study), SubmissionRequest(Cluster(name="slurm", scheduler=Scheduler.slurm))
        )
    assert len(list(study.jobs.iterdir())) == 1


def test_what_is_known_can_be_cancelled_beside_an_array_that_cannot_be_read(
    study: StudyDir, capsys: pytest.CaptureFixture[str], queue: Slurm
) -> None:
    send(study, 7, ids(study, "korea-ldm"))
    send(study, 8, ids(study, "china-ldm"))
    folder = spoil(study, "train-8", "torn")
    queue.holds(line("7_0", "PENDING", "Priority"), line("8_0", "PENDING", "Priority"))
    code, out, err = invoke(cancel.main, capsys, study.name, "--yes", "--output", str(study.path.parent))
    assert code == 0 and queue.cancelled == ["7_0"] and str(folder) in out + err
