"""`scoft-hpc survey`: its subcommands, their settings, and missing packages."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from invoke import Invoke, invoke
from scoft_hpc import __main__, survey
from scoft_hpc.human_eval.command_args import CommandArgs
from scoft_hpc.study.paths import StudyDir
from waiting import PATIENCE


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, CommandArgs]]:
    """The calls of the subcommands' functions, in place of their work."""
    calls: list[tuple[str, CommandArgs]] = []

    def load(name: str) -> ModuleType:
        module = ModuleType(name)
        for verb in survey.SUBCOMMANDS:
            setattr(module, verb, lambda args: calls.append((name, args)) or 0)
        return module

    monkeypatch.setattr(survey.importlib, "import_module", load)
    return calls


def test_without_a_subcommand_it_lists_them_and_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for args, code in (([], 2), (["--help"], 0)):
        ended, out, err = invoke(survey.main, capsys, *args)
        assert ended == code
        text = err if code else out
        assert all(f"\n  {verb} " in text for verb in ("make", "serve", "results", "demo"))


def test_the_suite_has_the_command() -> None:
    assert __main__.COMMANDS["survey"].startswith("People judge a study's images")


def test_a_process_of_its_own_says_the_same_and_loads_no_torch() -> None:
    code = """
import sys
from scoft_hpc import survey
code = survey.main([])
assert not {"torch", "sqlalchemy", "fastapi", "pydantic"} & set(sys.modules)
sys.exit(code)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 2
    assert "usage: scoft-hpc survey COMMAND [STUDY] [key=value ...]" in ended.stderr


def test_help_lists_the_settings_of_a_subcommand(
    run_survey: Invoke, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_survey("make", "--help")
    assert ended.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(
        any(line.startswith(f"  {key}=…") for line in lines) for key in survey.SUBCOMMANDS["make"].settings
    )


def test_a_mistyped_subcommand_or_setting_is_reported_with_a_suggestion(run_survey: Invoke) -> None:
    assert run_survey("maek") == (
        2,
        "",
        "error: survey has no command 'maek'; did you mean make? Choose from make, serve, results, demo.\n",
    )
    code, _, err = run_survey("make", "paegs=3", "systens=a", "study=a-study")
    assert code == 2
    assert "`paegs=3`: survey make has no setting `paegs`; did you mean pages?" in err
    assert "`systens=a`: survey make has no setting `systens`; did you mean systems?" in err
    assert "no study 'b-study'" in run_survey("make", "b-study")[2]
    assert run_survey("make", "study=b-study")[0] == 3
    assert "did you mean korea?" in run_survey("make", "culture=Korea")[2]


def test_cultures_are_chosen_when_pages_are_drawn_and_runs_never(run_survey: Invoke) -> None:
    for verb in ("serve", "results"):
        code, _, err = run_survey(verb, "culture=korea")
        assert code == 2
        assert f"survey {verb} has no setting `culture`" in err
    code, _, err = run_survey("make", "korea-mpc")
    assert code == 2
    assert "survey make is about a whole study, not about single runs" in err
    assert "has no setting `variant`" in run_survey("make", "variant=m")[2]


def test_each_module_gets_the_study_the_cultures_and_its_settings(
    run_survey: Invoke, study: StudyDir, calls: list[tuple[str, CommandArgs]]
) -> None:
    assert run_survey("make", "a-study", "culture=mexico", "pages=3", "ethics=IRB=7")[0] == 0
    assert run_survey("serve", "port=9", "database=sqlite:////x?a=b")[0] == 0
    assert run_survey("results", "study=a-study")[0] == 0
    assert run_survey("demo", "raters=51")[0] == 0
    assert run_survey("demo", "mine", "seed=2")[0] == 0
    both = ("korea", "mexico")
    assert calls == [
        ("scoft_hpc.human_eval.make", CommandArgs(study, ("mexico",), {"pages": "3", "ethics": "IRB=7"})),
        (
            "scoft_hpc.human_eval.web.serve",
            CommandArgs(study, both, {"port": "9", "database": "sqlite:////x?a=b"}),
        ),
        ("scoft_hpc.human_eval.analysis.command", CommandArgs(study, both, {})),
        (
            "scoft_hpc.human_eval.demo.command",
            CommandArgs(StudyDir(study.path.parent / survey.DEMO_STUDY), (), {"raters": "51"}),
        ),
        (
            "scoft_hpc.human_eval.demo.command",
            CommandArgs(StudyDir(study.path.parent / "mine"), (), {"seed": "2"}),
        ),
    ]


@pytest.mark.parametrize("args", [("a", "b"), ("../a",), ("study=",)])
def test_a_demo_has_one_study(run_survey: Invoke, args: tuple[str, ...]) -> None:
    code, _, err = run_survey("demo", *args)
    assert code == 2
    assert "expected one study's name" in err


def test_missing_packages_are_reported_with_how_to_install_them(
    run_survey: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        survey.importlib.util,
        "find_spec",
        lambda name: None if name in ("fastapi", "babel") else find_spec(name),
    )
    code, _, err = run_survey("make")
    assert code == 2
    assert "(babel, fastapi)" in err
    assert "pip install 'scoft-hpc[survey]'" in err


def test_the_required_modules_are_those_of_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())["project"]

    def names(lines: list[str]) -> set[str]:
        return {re.split(r"[\[<>=]", line)[0].replace("-", "_") for line in lines}

    extra = names(project["optional-dependencies"]["survey"])
    assert extra <= set(survey.REQUIRED_MODULES) <= extra | names(project["dependencies"])
