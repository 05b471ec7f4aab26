"""`scoft-hpc sweep sweep=tune` from words to exit code: with a job that trains nothing, and once with the real one."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from scoft_hpc import status, sweep
from scoft_hpc.config import compose
from scoft_hpc.launch.search import sampler
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import read
from waiting import wait_until

DOORS = Path(__file__).parents[1] / "launch"


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A search of four trials, two a round, whose jobs are `paced_job` or `scoring_job`."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(DOORS), *(entry for entry in sys.path if entry)]))
    monkeypatch.setenv("COLUMNS", "200")
    return [
        "sweep=tune",
        "culture=korea",
        "train.steps=5",
        f"output={tmp_path}",
        "cluster.jobs=1",
        "tune.trials=4",
        "tune.parallel=2",
    ]


def run(arguments: list[str], job_module: str = "scoring_job") -> int:
    return compose.command("sweep", partial(sweep.sweep, job_module=job_module), arguments)


@pytest.mark.slow
def test_it_ends_with_the_trials_the_best_and_how_to_report_it(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run([*arguments, "plan=only"]) == 0
    text = capsys.readouterr().out
    assert "search tune: 4 trials in rounds of 2, for the least default_style" in text
    assert "train.lr: 3e-05 to 0.003, by orders of magnitude" in text
    assert "study tune-r01: 2 runs, 2 to do in 1 pack; nothing was sent" in text
    assert not list(tmp_path.glob("tune*"))
    assert run(arguments) == 0
    text = capsys.readouterr().out
    assert "round 1 is over: 2 of 4 trials; best so far train.lr=" in text
    best = re.search(r"^best: trial (\d), (.*)$", text, flags=re.MULTILINE)
    assert best is not None and "Do not report it" in text
    (command,) = re.findall(r"^  python -m scoft_hpc\.sweep (.*)$", text, flags=re.MULTILINE)
    assert best[2] in command and "'seed=[0,1,2]'" in command
    report = shlex.split(command)
    planned = sweep.main([*report, "plan=only"])
    assert planned == 0 and "study tune-reported: 15 runs" in capsys.readouterr().out
    assert run(arguments) == 0
    again = capsys.readouterr().out
    assert best[0] in again and "is over" not in again and "round tune" not in again
    assert status.main(["tune-r01", "--output", str(tmp_path)]) == 0, (
        "a round is a study to every other command"
    )
    assert "2 done" in capsys.readouterr().out


@pytest.mark.slow
def test_a_failed_trial_is_told_and_the_same_command_tries_it_again(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run([*arguments, "plan=only"])
    monkeypatch.setenv("JOB_CRASH", "korea-mpc")
    assert run(arguments) == 4
    text = capsys.readouterr().out
    assert "trial 1 failed: korea-mpc-s1000-" in text and "exit code 1" in text
    assert "no trial has a value" in text and not (tmp_path / "tune-r02").exists()
    monkeypatch.delenv("JOB_CRASH")
    assert run(arguments) == 0
    assert "best: trial" in capsys.readouterr().out


@pytest.mark.slow
def test_mistakes_are_told_before_anything_is_made(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run([*arguments, "tune.measure=memorization"]) == 2
    assert "tune.measure=memorization: expected a metric with a direction" in capsys.readouterr().err
    assert run([*arguments, "tune.space={train.lrr: [1, 2], lora.rank: 3}"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3
    monkeypatch.setattr(sampler, "find_spec", lambda name: None)
    assert run(arguments) == 2
    assert "pip install 'scoft-hpc[tune]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_with_the_same_trials(arguments: list[str], tmp_path: Path) -> None:
    program = (
        "from functools import partial; from scoft_hpc import sweep; from scoft_hpc.config import compose; "
        "compose.command('sweep', partial(sweep.sweep, job_module='scoring_job'))"
    )
    first = StudyDir(tmp_path / "tune-r01")
    started = first.path / "started.txt"
    slow = {**os.environ, "JOB_PACE": "0.3"}
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        env=slow,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_until(started.exists, "a trial to start", process=process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    planned = {entry.run_id for entry in read(first).runs}
    assert run(arguments) == 0
    assert {entry.run_id for entry in read(first).runs} == planned
    assert all(first.run(name).result.exists() for name in planned)
    assert [path.name for path in sorted(tmp_path.glob("tune-r*"))] == ["tune-r01", "tune-r02"]


@pytest.mark.slow
def test_the_real_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A round of two real trials, of the variant that trains fastest."""
    arguments = [
        "sweep=tune", "culture=korea", "variant=ldm", "train.steps=2", "data.pairs=4", "data.negatives.steps=1",
        "evaluation.prompts=2", "evaluation.samples=1", "evaluation.steps=2", f"output={tmp_path}",
        "tune.trials=2", "tune.parallel=2", "tune.space={objective.w_c: null}", "cluster.jobs=1",
    ]  # fmt: skip
    assert sweep.main(arguments) == 0
    first = StudyDir(tmp_path / "tune-r01")
    for entry in read(first).runs:
        assert first.run(entry.run_id).lora.exists()
        scores = json.loads(first.run(entry.run_id).scores.read_text())
        assert "default_style" in scores["metrics"]
    assert "2 of 2 trials" in capsys.readouterr().out and (tmp_path / "tune" / "optuna.journal").exists()
