"""Every catalogue has all messages, with the same placeholders."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from string import Formatter

import pytest
import yaml

from scoft_hpc.errors import ConfigError
from scoft_hpc.human_eval.survey import AFFILIATIONS, QUESTIONS, Question, Survey
from scoft_hpc.human_eval.survey_yaml import CATALOGUES, catalogues
from scoft_hpc.human_eval.web import i18n
from scoft_hpc.human_eval.web.consent import consent
from scoft_hpc.inputs.toy.scenes import CULTURES

WEB = Path(i18n.__file__).parent
ENGLISH = i18n.load(["en"])["en"]
SURVEY = Survey("Images", "toy", ("base", "mpc"), {"korea": 3})


def gaps(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


@pytest.mark.parametrize("language", catalogues())
def test_every_catalogue_has_the_same_sentences(language: str) -> None:
    messages = i18n.load([language])[language].messages
    assert list(messages) == list(ENGLISH.messages)
    assert {key: gaps(text) for key, text in messages.items()} == {
        k: gaps(t) for k, t in ENGLISH.messages.items()
    }
    assert all(isinstance(text, str) and text.strip() for text in messages.values())
    lines = (CATALOGUES / f"{language}.yaml").read_text().splitlines()
    assert len([line for line in lines if re.match(r"[a-z]", line)]) == len(messages), (
        "a key stands there twice"
    )


def test_a_catalogue_is_in_its_own_language() -> None:
    arabic = yaml.safe_load((CATALOGUES / "ar.yaml").read_text())
    latin = {key: text for key, text in arabic.items() if re.search("[A-Za-z]", re.sub(r"{\w+}", "", text))}
    assert latin == {}
    assert [key for key, text in arabic.items() if not re.search("[\u0600-\u06ff]", text)] == ["task.end"]


def test_every_sentence_is_used_and_there() -> None:
    templates = [path.read_text() for path in (WEB / "templates").glob("*.j2")]
    code = [
        node.value
        for path in WEB.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    called = {key for text in templates for key in re.findall(r"translate\('([a-z_.0-9]+)'[,)]", text)}
    assert called <= set(ENGLISH.messages)
    composed = (
        r"culture\.\w+|question\.\w+.*|refused\.\w+(\.title)?|consent\.(what|risk|data|rights)(\.title)?"
    )
    composed += r"|join\.affiliation\.\w+|end\.payment\.(saved|repeated)|task\.(rank|rating)\.wrong"
    unused = {key for key in ENGLISH.messages if key not in called and key not in code}
    assert {key for key in unused if not re.fullmatch(composed, key)} == set()


def test_what_code_names_has_a_sentence() -> None:
    for name in QUESTIONS:
        for end in ("", ".hint", ".best", ".low", ".high", ".reversed", ".reversed.best"):
            assert f"question.{name}{end}" in ENGLISH.messages
    assert {f"join.affiliation.{name}" for name in AFFILIATIONS} <= set(ENGLISH.messages)
    assert [ENGLISH.culture(name) for name in CULTURES] == ["China", "India", "Korea", "Mexico", "Nigeria"]
    assert ENGLISH.culture("new_zealand") == "New Zealand"


def test_a_question_of_the_surveys_own() -> None:
    custom = Question("beauty", {"en": "Most beautiful?", "ar": "الأجمل؟"}, {"en": "Least beautiful?"})
    arabic = i18n.load(["ar"])["ar"]
    assert ENGLISH.wording(custom, "Korea").text == "Most beautiful?"
    assert ENGLISH.wording(custom, "Korea", is_reversed=True).text == "Least beautiful?"
    assert arabic.wording(custom, "كوريا").text == "الأجمل؟"
    assert arabic.wording(custom, "كوريا", is_reversed=True).text == "Least beautiful?"


def test_the_first_language_of_a_header_that_there_is() -> None:
    languages = ["en", "ar"]
    for header, expected in {
        "ar": "ar",
        "AR-sa, en;q=0.9": "ar",
        "de, ar;q=0.8, en;q=0.9": "en",
        "fr": "en",
        "ar;q=0": "en",
        "": "en",
    }.items():
        assert i18n.negotiate_language(header, languages) == expected
    assert i18n.negotiate_language("fr", ["ar", "en"]) == "ar"


def test_a_language_without_a_catalogue_is_reported() -> None:
    with pytest.raises(ConfigError, match=r"no catalogue for the language xx; there are: ar, en"):
        i18n.load(["en", "xx"])


def test_the_version_of_the_consent_is_that_of_all_it_shows() -> None:
    first = consent(ENGLISH, SURVEY).version
    assert consent(ENGLISH, SURVEY).version == first
    changed = [
        replace(SURVEY, contact="somebody@example.org"),
        replace(SURVEY, title="Pictures"),
        replace(SURVEY, questions=SURVEY.questions[:3]),
        replace(SURVEY, consent={"en": "First.\n\nSecond."}),
    ]
    versions = {first, *(consent(ENGLISH, section).version for section in changed)}
    assert len(versions) == 5
    assert consent(ENGLISH, replace(SURVEY, seed=1)).version == first
    page = consent(ENGLISH, changed[-1])
    assert [section.paragraphs for section in page.sections] == [("First.", "Second.")]
