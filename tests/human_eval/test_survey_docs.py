"""Every command of docs/survey.md and every survey of the README does what it says, in order, on a finished study."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from results.study_maker import Maker
from scoft_hpc import survey as command
from scoft_hpc.human_eval import survey_yaml
from scoft_hpc.human_eval.database import VARIABLE
from scoft_hpc.study.paths import StudyDir
from waiting import ANSWER_PATIENCE

pytestmark = pytest.mark.slow  # each command needs what the ones before it made

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "survey.md").read_text()
STUDY = "loss_terms-all-toy"
README = (DOCS.parent / "README.md").read_text()


def commands(text: str) -> list[list[str]]:
    lines = re.findall(r"^ {4}python -m scoft_hpc\.survey (.*)$", text, flags=re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


COMMANDS = commands(PAGE)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    """A study on which the commands run one after another."""
    output = tmp_path_factory.mktemp("reader") / "outputs"
    return Maker.of(output, STUDY, variants=("base", "m", "mp", "mpc"), seeds=(0,)).finish().folder


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    output = tmp_path_factory.mktemp("another") / "outputs"
    return Maker.of(output, STUDY, variants=("base", "m", "mp", "mpc"), seeds=(0,)).finish().folder


def run(study: StudyDir, args: list[str]) -> str:
    """The command's output; `serve` gets SIGINT once it answers at its address."""
    more = ["port=0"] if args[0] == "serve" else []
    environment = {name: text for name, text in os.environ.items() if name != VARIABLE}
    with subprocess.Popen(
        [sys.executable, "-m", "scoft_hpc.survey", *args, *more],
        cwd=study.path.parents[1],
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line)
                if line.startswith("ends "):
                    (address,) = re.findall(r"http://127\.0\.0\.1:\d+", "".join(lines[1:3]))[:1]
                    assert httpx.get(address, timeout=ANSWER_PATIENCE, trust_env=False).status_code == 200
                    process.send_signal(signal.SIGINT)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0, "".join(lines)
    return "".join(lines)


def _needs_postgres(args: list[str]) -> bool:
    return any(arg.startswith("database=") for arg in args)


@pytest.mark.parametrize(
    "args",
    [
        pytest.param(args, marks=[pytest.mark.postgres] if _needs_postgres(args) else [], id=" ".join(args))
        for args in COMMANDS
    ],
)
def test_a_command_works(args: list[str], study: StudyDir, request: pytest.FixtureRequest) -> None:
    if args[0] == "demo":  # which demo/test_demo_command.py takes to its end
        parsed = command._parse("demo", args[1:])
        assert parsed.study.name in PAGE or parsed.study.name == command.DEMO_STUDY
        return
    url = request.getfixturevalue("new_postgres") if _needs_postgres(args) else ""
    output = run(study, [f"database={url}" if arg.startswith("database=") else arg for arg in args])
    if args[0] == "make":
        text = study.survey.file.read_text()
        assert 'reference: ""' in text  # which the page has its reader fill in
        study.survey.file.write_text(text.replace('reference: ""', 'reference: "IRB 2026/17"'))
    if args[0] == "serve":
        address = next((arg[4:] for arg in args if arg.startswith("url=")), "http://127.0.0.1:")
        assert f"raters    {address}" in output
    if args[0] == "results":
        assert study.survey.results.exists()
        assert "What people say" in study.report.read_text()


@pytest.mark.parametrize("args", commands(README), ids=" ".join)
def test_a_command_of_the_readme_works(args: list[str], another: StudyDir) -> None:
    if args != ["demo"]:  # which CI runs as it stands
        assert run(another, args)


def test_the_page_has_a_command_of_each_verb_and_its_links_lead_somewhere() -> None:
    assert {args[0] for args in COMMANDS} == set(command.SUBCOMMANDS)
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert links and all(link.startswith("https://") or (DOCS / link).exists() for link in links)


def test_the_question_of_ones_own_is_one(study: StudyDir, tmp_path: Path) -> None:
    match = re.search(r"`(\{name: .*?\}\})`", PAGE, flags=re.DOTALL)
    assert match is not None
    content = yaml.safe_load(study.survey.file.read_text())
    content |= {"languages": ["en"], "questions": ["match", "culture", yaml.safe_load(match[1])]}
    file = tmp_path / "survey.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True))
    survey = survey_yaml.read(file)
    faults = survey_yaml.check(survey, STUDY, ["base", "m", "mp", "mpc"], ["korea", "mexico"])
    assert list(faults) == []
    assert survey.questions[-1].name == "beauty"


def test_catalogues_lie_where_the_page_says() -> None:
    assert str(survey_yaml.CATALOGUES / "en.yaml").endswith("scoft_hpc/human_eval/web/catalogues/en.yaml")
    assert "src/scoft_hpc/human_eval/web/catalogues/en.yaml" in PAGE
