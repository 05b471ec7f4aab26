"""`scoft-hpc sweep` from words to exit code, with a job that trains nothing and the real results."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import pytest

from scoft_hpc import sweep
from scoft_hpc.config import compose
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import read

JOB_FOLDER = Path(__file__).parents[1] / "launch"


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A study of two runs, whose jobs are `paced_job` or `scoring_job`."""
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(JOB_FOLDER), *(entry for entry in sys.path if entry)])
    )
    monkeypatch.setenv("COLUMNS", "200")
    return [
        "culture=korea",
        "ablation.axes.variant=[base,mpc]",
        "train.steps=5",
        f"output={tmp_path}",
        "wandb.mode=disabled",
        "cluster.jobs=1",
    ]


def run(arguments: list[str]) -> int:
    return compose.command("sweep", partial(sweep.sweep, job_module="paced_job"), arguments)


@pytest.mark.slow
def test_it_ends_with_the_table_and_then_nothing_is_sent_nor_written_but_what_is_gone(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = StudyDir(tmp_path / "loss_terms-korea-toy")
    assert run(arguments) == 0
    text = capsys.readouterr().out
    assert "study loss_terms-korea-toy: 2 runs, 0 of them done" in text
    assert "1 job at a time on CPU" in text and f"report   {study.report}" in text
    for entry in read(study).runs:
        assert compose.load(study.run(entry.run_id).config) == compose.from_mapping(dict(entry.config))
    files = ("started.txt", "plan.json", "report.html", "results.csv")
    before = [(study.path / name).stat() for name in files]
    assert run(arguments) == 0
    assert "2 of them done" in (text := capsys.readouterr().out) and f"report   {study.report}" in text
    assert run([*arguments, "seed=[0,1]"]) == 3
    assert "study=NAME" in capsys.readouterr().err
    assert [(study.path / name).stat()[:9] for name in files] == [stat[:9] for stat in before]
    study.report.unlink()
    assert run(arguments) == 0 and study.report.exists()


@pytest.mark.slow
def test_a_failed_run_is_named_with_its_reason_and_its_log(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOB_FAIL", "mpc")
    assert run(arguments) == 4
    text = capsys.readouterr().out
    study = StudyDir(tmp_path / "loss_terms-korea-toy")
    failed = next(r.run_id for r in read(study).runs if r.variant == "mpc")
    assert f"{failed} failed: the loss is not finite" in text
    assert f"log      {study.logs / 'pack-001.log'}" in text
    assert "1 of 2 runs are not done; the same command continues" in text
    monkeypatch.delenv("JOB_FAIL")
    monkeypatch.setenv("JOB_STOP", "mpc")
    assert run(arguments) == 75, "a run that stopped and can be continued is no failure"


@pytest.mark.slow
def test_a_plan_is_shown_and_nothing_is_sent(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*arguments, "plan=only", "seed=[0,1]"]) == 0
    text = capsys.readouterr().out
    assert "base mpc" in text and "4 runs, 4 to do in 1 pack; nothing was sent" in text
    assert not (tmp_path / "loss_terms-korea-toy").exists()


@pytest.mark.slow
def test_what_cannot_be_is_refused_before_anything_is_made(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert run([*arguments[:3], f"output={tmp_path / 'file'}"]) == 2
    assert "cannot be written to" in capsys.readouterr().err
    assert run([*arguments, "culture=[korea,atlantis]"][1:]) == 2
    assert "atlantis" in (text := capsys.readouterr().err) and "nigeria" in text
    assert run([*arguments, "cluster.lanes=0"]) == 2 and "cluster.lanes=0" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir() if path.name not in ("file", "data")] == []


@pytest.mark.slow
def test_multirun_is_not_a_sweep(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "--multirun"]) == 2
    assert "culture=[korea,china]" in capsys.readouterr().err


@pytest.mark.slow
def test_without_slurm_a_cluster_is_refused_with_nothing_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    arguments = ["culture=korea", "cluster=bridges2", f"output={tmp_path}", "study=s"]
    assert run(arguments) == 3
    assert "this machine has no Slurm" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()
