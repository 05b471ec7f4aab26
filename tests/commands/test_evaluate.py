"""Scoring again: a finished run's samples under other metrics and networks; what cannot be scored keeps its scores."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from invoke import invoke
from scoft_hpc import evaluate
from scoft_hpc.config.compose import compose
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.paths import RunDir, StudyDir
from scoft_hpc.train import train

ARGUMENTS = ["culture=korea", "variant=base", "study=s", "evaluation.steps=2", "evaluation.prompts=2"]
ARGUMENTS += ["evaluation.samples=2", "evaluation.neutral=1", "wandb.mode=disabled", "threads=1"]

Outcome = tuple[int, str]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base run, drawn and scored."""
    folder = tmp_path_factory.mktemp("evaluated")
    arguments = [*ARGUMENTS, f"output={folder}"]
    assert train(compose("train", arguments), arguments) == 0
    return folder


@pytest.fixture
def run(output: Path) -> RunDir:
    (path,) = StudyDir(output / "s").runs.iterdir()
    return RunDir(path)


@pytest.fixture
def call(output: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def call_command(*arguments: str) -> Outcome:
        code, out, err = invoke(evaluate.main, capsys, f"output={output}", "--device", "cpu", *arguments)
        return code, out + err

    return call_command


def scores(run: RunDir) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(run.scores.read_text())
    return content


@pytest.mark.slow
def test_the_same_again_is_the_same(run: RunDir, call: Callable[..., Outcome]) -> None:
    before = scores(run)
    code, text = call()
    assert code == 0 and "korea" in text and "results.csv" in text
    assert scores(run) == before and not run.lease.exists()


@pytest.mark.slow
def test_other_metrics_take_the_place_of_the_old_and_samples_stay(
    run: RunDir, call: Callable[..., Outcome]
) -> None:
    drawn = {path: path.stat().st_mtime_ns for path in run.path.rglob("*.png")}
    config = run.config.read_bytes()
    assert call("scoring.metrics=[diversity,fid]", "culture=korea")[0] == 0
    assert list(scores(run)["metrics"]) == ["fid", "diversity"]
    assert call("s")[0] == 0, "what was planned comes back"
    assert {"kid", "clip_score"} <= set(scores(run)["metrics"]) and "fid" not in scores(run)["metrics"]
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*.png")} == drawn
    assert run.config.read_bytes() == config


@pytest.mark.slow
def test_the_commands_of_the_page(call: Callable[..., Outcome]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    commands = [
        shlex.split(line)[3:] for line in re.findall(r"^ {4}(python -m scoft_hpc.evaluate.*)$", page, re.M)
    ]
    assert len(commands) == 2
    for arguments in reversed(commands):  # the first, without words, brings back what was planned
        assert call(*arguments)[0] == 0, arguments


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["scoring.metrics=[kit]"], "expected names among default_style"),
        (["scoring.metrics=[kid]", "train.lr=1"], "`train.lr=1`: evaluate takes settings of `scoring` alone"),
        (["scoring.clips=toy"], "there is no setting `scoring.clips`; did you mean scoring.clip"),
        (["scoring.clip=/no/where"], "scoring.clip=/no/where: /no/where does not exist"),
        (["culture=mexico"], "culture=mexico: expected some of korea"),
        (["--device", "cuda:9"], "cuda"),
    ],
)
def test_a_mistake_is_told_and_changes_nothing(
    arguments: list[str], expected: str, run: RunDir, call: Callable[..., Outcome]
) -> None:
    before = run.scores.read_bytes()
    code, text = call(*arguments)
    assert code == 2 and expected in text and "Traceback" not in text
    assert run.scores.read_bytes() == before


def test_a_run_that_cannot_be_scored_keeps_its_scores(run: RunDir, call: Callable[..., Outcome]) -> None:
    before = run.scores.read_bytes()
    sample = next(iter(sorted(run.samples.iterdir())))
    aside = sample.rename(sample.with_suffix(".aside"))
    try:
        code, text = call()
    finally:
        aside.rename(sample)
    assert code == 4 and f"{run.run_id}: " in text and sample.name in text
    lease = Lease.acquire(run.lease)
    try:
        code, text = call()
    finally:
        lease.release()
    assert code == 4 and "one run has one owner" in text
    assert run.scores.read_bytes() == before
