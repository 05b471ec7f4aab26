"""`scoft-hpc status`: what it says, in which words it may be asked, and that it loads neither torch nor Hydra."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scoft_hpc import __main__, __version__, status
from scoft_hpc.launch.study import launch_claim
from scoft_hpc.runs import record
from scoft_hpc.runs.claim import Claim
from studies import draw, finish, hold, lose, plan_study, run_of, train


@pytest.fixture
def output(tmp_path: Path) -> Path:
    study = plan_study(tmp_path, ["china", "korea"])
    finish(run_of(study, "china-base-"))
    train(run_of(study, "china-ldm-"), 12)
    hold(run_of(study, "china-ldm-"))
    failed = run_of(study, "china-mpc-")
    train(failed, 33)
    record.write_failure(failed, "nan", "the loss is not finite [here]", 33)
    lose(run_of(study, "korea-mp-"))
    hold(run_of(study, "korea-base-"))
    draw(run_of(study, "korea-base-"), 3)
    return tmp_path


def ask(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["status", *words])
    code = status.main()
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_table_has_every_runs_state_and_the_reasons(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, text, _ = ask(monkeypatch, capsys, "--output", str(output))
    assert code == 0
    rows = {
        line.split()[0]: line.split()[1:] for line in text.splitlines() if line.startswith(("china", "korea"))
    }
    assert rows["china"][:5] == ["done", "12/40", "planned", "planned", "failed"]
    assert rows["korea"][:6] == ["3", "drawn", "planned", "planned", "lost", "planned"]
    assert "study a-study: 10 runs, 1 done, 1 failed, 1 lost, 2 running, 5 planned" in text
    assert "failed at step 33 (nan): the loss is not finite [here]" in text
    assert "lost at step 0" in text


@pytest.mark.parametrize(
    "words",
    [
        ["a-study", "--output", "{}"],
        ["study=a-study", "output={}"],
        ["{}/a-study"],
        ["output={}"],
    ],
)
def test_it_may_be_asked_in_flags_and_in_words(
    words: list[str], output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text, _ = ask(monkeypatch, capsys, *(word.format(output) for word in words))
    assert code == 0 and "study a-study: 10 runs" in text


def test_the_latest_study_is_the_default_and_an_unknown_one_lists_them(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    latest = plan_study(output, ["mu"], name="b-study")
    os.utime(latest.plan, (2e9, 2e9))
    assert "study b-study" in ask(monkeypatch, capsys, f"output={output}")[1]
    code, _, errors = ask(monkeypatch, capsys, "c-study", f"output={output}")
    assert code == 3 and "there are: b-study, a-study" in errors
    code, _, errors = ask(monkeypatch, capsys, f"output={output / 'nothing'}")
    assert code == 3 and "there is no study in" in errors and "sweep" in errors


def test_json_is_for_programs(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    claim = Claim.take(launch_claim(run_study := plan_study(output, ["mu"], name="c-study")))
    code, text, _ = ask(monkeypatch, capsys, "c-study", f"output={output}", "--json")
    content = json.loads(text)
    assert code == 0 and content["folder"] == str(run_study.path)
    assert content["launcher"] == str(claim.owner)
    assert [run["variant"] for run in content["runs"]] == ["base", "ldm", "m", "mp", "mpc"]
    content = json.loads(ask(monkeypatch, capsys, "a-study", f"output={output}", "--json")[1])
    failed = next(run for run in content["runs"] if run["status"] == "failed")
    assert failed["failure"]["cause"] == "nan" and failed["step"] == 33


def test_several_seeds_share_a_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = plan_study(tmp_path, ["mu"], seeds=3)
    finish(run_of(study, "mu-ldm-s0"))
    hold(run_of(study, "mu-ldm-s1"))
    _, text, _ = ask(monkeypatch, capsys, f"output={tmp_path}")
    assert "1 done" in text and "1 running" in text and "3 planned" in text


def test_it_loads_neither_torch_nor_hydra(output: Path) -> None:
    code = (
        "import sys; from scoft_hpc import status; sys.argv = ['status', 'output=' + sys.argv[1]];"
        "assert status.main() == 0;"
        "heavy = {'torch', 'hydra', 'omegaconf', 'diffusers', 'PIL', 'numpy', 'wandb', 'submitit'} & set(sys.modules);"
        "sys.exit(f'loaded: {heavy}' if heavy else 0)"
    )
    path = os.pathsep.join(entry for entry in sys.path if entry)
    done = subprocess.run(
        [sys.executable, "-c", code, str(output)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def door(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["scoft-hpc", *words])
    code = __main__.main()
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_door_finds_its_verbs_as_files(
    output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert {"sweep", "status", "train", "gather"} <= set(__main__.verbs())
    assert not {"errors", "__init__", "__main__"} & set(__main__.verbs())
    code, text, _ = door(monkeypatch, capsys, "status", f"output={output}")
    assert code == 0 and "study a-study" in text
    code, text, _ = door(monkeypatch, capsys, "--help")
    assert code == 0 and all(f"  {verb} " in text for verb in __main__.verbs())
    assert door(monkeypatch, capsys, "--version")[1] == f"scoft-hpc {__version__}\n"


def test_an_unknown_verb_is_told_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, errors = door(monkeypatch, capsys, "swep")
    assert code == 2 and "did you mean sweep?" in errors and "status" in errors
    assert door(monkeypatch, capsys)[0] == 2


def test_a_run_that_was_stopped_shows_what_is_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = plan_study(tmp_path, ["mu"])
    train(run_of(study, "mu-ldm-"), 3)
    code, text, _ = ask(monkeypatch, capsys, "--output", str(tmp_path))
    assert code == 0
    assert "3/40 saved" in text
