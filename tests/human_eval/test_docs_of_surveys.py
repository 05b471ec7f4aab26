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
    """What one command has made is there for the next."""
    output = tmp_path_factory.mktemp("reader") / "outputs"
    return Maker.of(output, STUDY, variants=("base", "m", "mp", "mpc"), seeds=(0,)).finish().folder


@pytest.fixture(scope="module")
def another(tmp_path_factory: pytest.TempPathFactory) -> StudyDir:
    output = tmp_path_factory.mktemp("another") / "outputs"
    return Maker.of(output, STUDY, variants=("base", "m", "mp", "mpc"), seeds=(0,)).finish().folder


def run(study: StudyDir, words: list[str]) -> str:
    """What the command printed; `serve` is told to end once it answers where it says."""
    more = ["port=0"] if words[0] == "serve" else []
    environment = {name: text for name, text in os.environ.items() if name != VARIABLE}
    with subprocess.Popen(
        [sys.executable, "-m", "scoft_hpc.survey", *words, *more],
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
                    assert httpx.get(address, timeout=60, trust_env=False).status_code == 200
                    process.send_signal(signal.SIGINT)
        except BaseException:
            process.kill()
            raise
    assert process.returncode == 0, "".join(lines)
    return "".join(lines)


def _needs_postgres(words: list[str]) -> bool:
    return any(word.startswith("database=") for word in words)


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(
            words, marks=[pytest.mark.postgres] if _needs_postgres(words) else [], id=" ".join(words)
        )
        for words in COMMANDS
    ],
)
def test_a_command_works(words: list[str], study: StudyDir, request: pytest.FixtureRequest) -> None:
    if words[0] == "demo":  # which demo/test_whole_way.py takes to its end
        asked = command._parse("demo", words[1:])
        assert asked.study.name in PAGE or asked.study.name == command.DEMO_STUDY
        return
    url = request.getfixturevalue("new_postgres") if _needs_postgres(words) else ""
    said = run(study, [f"database={url}" if word.startswith("database=") else word for word in words])
    if words[0] == "make":
        text = study.survey.file.read_text()
        assert 'reference: ""' in text  # which the page has its reader fill in
        study.survey.file.write_text(text.replace('reference: ""', 'reference: "IRB 2026/17"'))
    if words[0] == "serve":
        address = next((word[4:] for word in words if word.startswith("url=")), "http://127.0.0.1:")
        assert f"raters    {address}" in said
    if words[0] == "results":
        assert study.survey.results.exists()
        assert "What people say" in study.report.read_text()


@pytest.mark.parametrize("words", commands(README), ids=" ".join)
def test_a_command_of_the_readme_works(words: list[str], another: StudyDir) -> None:
    if words != ["demo"]:  # which CI runs as it stands
        assert run(another, words)


def test_the_page_has_a_command_of_each_verb_and_its_links_lead_somewhere() -> None:
    assert {words[0] for words in COMMANDS} == set(command.SUBCOMMANDS)
    links = re.findall(r"\]\(([^)#]+)\)", PAGE)
    assert links and all(link.startswith("https://") or (DOCS / link).exists() for link in links)


def test_the_question_of_ones_own_is_one(study: StudyDir, tmp_path: Path) -> None:
    found = re.search(r"`(\{name: .*?\}\})`", PAGE, flags=re.DOTALL)
    assert found is not None
    content = yaml.safe_load(study.survey.file.read_text())
    content |= {"languages": ["en"], "questions": ["match", "culture", yaml.safe_load(found[1])]}
    file = tmp_path / "survey.yaml"
    file.write_text(yaml.safe_dump(content, allow_unicode=True))
    survey = survey_yaml.read(file)
    assert survey_yaml.check(survey, STUDY, ["base", "m", "mp", "mpc"], ["korea", "mexico"]) == []
    assert survey.questions[-1].name == "beauty"


def test_catalogues_lie_where_the_page_says() -> None:
    assert str(survey_yaml.CATALOGUES / "en.yaml").endswith("scoft_hpc/human_eval/web/catalogues/en.yaml")
    assert "src/scoft_hpc/human_eval/web/catalogues/en.yaml" in PAGE
