"""A finished study from which pages are sampled, and the command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from invoke import Invoke, invoke
from results.study_maker import Maker
from scoft_hpc import survey as command
from scoft_hpc.human_eval.database import VARIABLE
from scoft_hpc.study.paths import StudyDir


@pytest.fixture(scope="session")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Two cultures, four variants, two seeds, three prompts with two samples each. Read only."""
    output = tmp_path_factory.mktemp("scored")
    return Maker.of(output, "a-study", variants=("base", "m", "mp", "mpc"), steps=1).finish()


@pytest.fixture
def study(scored: Maker, tmp_path: Path) -> StudyDir:
    """A copy of the finished study that a test may change."""
    shutil.copytree(scored.folder.path, tmp_path / "out" / "a-study")
    return StudyDir(tmp_path / "out" / "a-study")


@pytest.fixture(autouse=True)
def no_database_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """No database is named by the environment."""
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.fixture
def run_survey(study: StudyDir, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Runs `scoft-hpc survey …` on the study: exit code, stdout and stderr."""

    def run(*args: str) -> tuple[int, str, str]:
        return invoke(command.main, capsys, *args, f"--output={study.path.parent}")

    return run
