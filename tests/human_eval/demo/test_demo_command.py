"""`survey demo` with the real application and simulated raters, and invalid settings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from invoke import Invoke, invoke
from results.study_maker import Maker
from scoft_hpc import survey as command
from scoft_hpc.config.schema import Data
from scoft_hpc.human_eval.database import VARIABLE
from scoft_hpc.human_eval.demo import truth
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import StudyDir

WORDS = ("raters=12", "pages=4")


@pytest.fixture
def run_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Runs `scoft-hpc survey demo …`: exit code, stdout and stderr."""

    monkeypatch.delenv(VARIABLE, raising=False)

    def run(*args: str) -> tuple[int, str, str]:
        return invoke(command.main, capsys, "demo", *args, f"output={tmp_path}")

    return run


def finished(tmp_path: Path, **data: str) -> StudyDir:
    """A finished study under the demo's name; of the toy world, unless `data` says otherwise."""
    world = Data(root=str(tmp_path / "data"), digest="d" * 16, **data)
    variants = ("base", "m", "mp", "mpc")
    return Maker.of(tmp_path, command.DEMO_STUDY, variants=variants, seeds=(0,), data=world).finish().folder


@pytest.mark.slow
def test_the_results_agree_with_the_truth_and_raters_answer_once(run_demo: Invoke, tmp_path: Path) -> None:
    study = finished(tmp_path)
    # The pages' names, and with them the raters' noise, follow from the secret.
    atomic.write_private(study.survey.secret, b"5" * 64)
    code, out, err = run_demo(*WORDS)
    assert (code, err) == (0, "")
    assert "0 of them in the wrong order" in out
    assert "What people say" in study.report.read_text()
    survey = yaml.safe_load(study.survey.file.read_text())
    assert survey["quotas"] == {"korea": 7, "mexico": 7}
    assert (survey["pages"], survey["ethics"]["pilot"]) == (4, True)
    results = study.survey.results.read_bytes()
    code, out, _ = run_demo(*WORDS)
    assert code == 0
    assert "12 raters have answered already" in out
    assert study.survey.results.read_bytes() == results
    for setting in ("seed=1", "raters=11", "pages=3"):  # whose truth is another
        code, _, err = run_demo(*WORDS, setting)
        assert code == 2
        assert "has a demo with raters=12 pages=4 seed=0; repeat these settings, or remove the folder" in err
    for file in study.path.glob("runs/*/scores.json"):  # the opposite truth
        scores = json.loads(file.read_text())
        for measure, _ in truth.TRUTHS.values():
            scores["metrics"][measure]["value"] = 1 - scores["metrics"][measure]["value"]
        file.write_text(json.dumps(scores))
    code, out, _ = run_demo(*WORDS)
    assert code == 5  # a survey that does not agree with the truth is no success


def test_a_survey_of_real_raters_is_refused(run_demo: Invoke, tmp_path: Path) -> None:
    study = finished(tmp_path)
    study.survey.path.mkdir()
    study.survey.file.write_text(
        f"{{title: People, study: {command.DEMO_STUDY}, systems: [base, mpc], quotas: {{korea: 1}}}}"
    )
    code, _, err = run_demo(*WORDS)
    assert code == 5
    assert "is a survey of real raters" in err


def test_invalid_settings_are_reported_before_anything_is_trained(run_demo: Invoke, tmp_path: Path) -> None:
    code, _, err = run_demo("raters=0", "pages=many", "seed=-1")
    assert code == 2
    assert [line.partition(":")[0] for line in err.removeprefix("error:\n").splitlines()] == [
        "- raters=0",
        "- pages=many",
        "- seed=-1",
    ]
    assert list(tmp_path.iterdir()) == []


def test_there_is_a_rater_of_each_culture_and_the_world_is_the_toys(run_demo: Invoke, tmp_path: Path) -> None:
    finished(tmp_path)
    code, _, err = run_demo("raters=1")
    assert code == 2
    assert "raters=1: expected at least one per culture, 2" in err
    assert not (tmp_path / command.DEMO_STUDY / "survey").exists()


def test_a_study_of_another_world_is_refused(run_demo: Invoke, tmp_path: Path) -> None:
    finished(tmp_path, name="ccub")
    code, _, err = run_demo(*WORDS)
    assert code == 2
    assert f"{command.DEMO_STUDY} is not a study of the toy world" in err
