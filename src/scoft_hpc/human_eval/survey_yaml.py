"""`survey.yaml`: read with every fault reported together, and written with a comment on each setting."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, StrictUndefined
from pydantic import TypeAdapter, ValidationError

from scoft_hpc.errors import ConfigError
from scoft_hpc.human_eval import pages
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.survey import (
    AFFILIATIONS,
    QUESTIONS,
    Ethics,
    Exclusion,
    PrimaryComparison,
    Question,
    Survey,
)
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import StudyDir, SurveyDir
from scoft_hpc.study.plan_file import is_called
from scoft_hpc.text import did_you_mean

CATALOGUES = Path(__file__).parent / "web" / "catalogues"
TEMPLATE = Path(__file__).with_name("survey_template.yaml.j2")
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
SYSTEMS_PER_PAGE = (2, 8)
"""Minimum and maximum of images on a page."""
SECTIONS = {"ethics": Ethics, "questions": Question, "primary": PrimaryComparison, "exclusion": Exclusion}


class _Loader(yaml.SafeLoader):
    """YAML loader that rejects duplicate keys, of which PyYAML would silently keep the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key!r} is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def read(file: Path) -> Survey:
    """The survey in the file, with every setting of the right type.

    Raises:
        ConfigError: listing every fault with its place, the value and the expected one.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no {file}; `scoft-hpc survey make` samples the pages and writes it."
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{file} cannot be read: {' '.join(str(error).split())}. Expected YAML as `scoft-hpc survey make` wrote "
            f"it; a text that contains ?, : or # needs quotes."
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(
            f"{file} holds no settings; remove it, and `scoft-hpc survey make` writes a new one."
        )
    questions = content.get("questions")
    if isinstance(questions, list):
        content["questions"] = [{"name": item} if isinstance(item, str) else item for item in questions]
    try:
        return TypeAdapter(Survey).validate_python(content)
    except ValidationError as error:
        raise ConfigError.from_messages(
            f"{file.name}: {_describe(fault)}" for fault in error.errors()
        ) from None


def write(file: Path, survey: Survey) -> None:
    """Write the survey with a comment on each setting; its questions must be from `QUESTIONS`."""
    atomic.write_text(file, text(survey))


def text(survey: Survey) -> str:
    """The file's text; values are written as JSON, which YAML reads."""
    assert all(question.name in QUESTIONS for question in survey.questions)
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True)
    environment.filters["json"] = partial(json.dumps, ensure_ascii=False)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(survey=survey, affiliations=AFFILIATIONS)


def load(folder: SurveyDir, languages: Collection[str] | None = None) -> tuple[Survey, tuple[Page, ...]]:
    """The survey and its pages, checked against each other; `languages` are those of the catalogues.

    Raises:
        ConfigError: listing every fault. RatingError: if there are no pages.
    """
    survey, survey_pages = read(folder.file), pages.read(folder)
    systems = [image.system for image in survey_pages[0].images]
    cultures = list(dict.fromkeys(page.culture for page in survey_pages))
    study = StudyDir(folder.path.parent)
    name = survey.study if is_called(study, survey.study) else study.name
    faults = list(check(survey, name, systems, cultures, languages))
    if not faults and set(survey.systems) != set(systems):
        faults.append(
            f"systems: the pages show {', '.join(systems)}; draw them again with `scoft-hpc survey make`."
        )
    if faults:
        raise ConfigError.from_messages(f"{folder.file}: {fault}" for fault in faults)
    return survey, survey_pages


def catalogues() -> list[str]:
    """The languages of the web application."""
    return sorted(path.stem for path in CATALOGUES.glob("*.yaml"))


def check(
    survey: Survey,
    study: str,
    systems: Sequence[str],
    cultures: Sequence[str],
    languages: Collection[str] | None = None,
) -> Iterator[str]:
    """Every fault of the survey for a study with these systems and cultures; `languages`: those of the catalogues."""
    languages = catalogues() if languages is None else languages
    if not survey.title.strip():
        yield "title: it is empty; expected the title that raters read at the top of a page."
    if survey.study != study:
        yield f"study: {survey.study!r}; expected {study!r}, the study in whose directory the survey is."
    if not SYSTEMS_PER_PAGE[0] <= len(survey.systems) <= SYSTEMS_PER_PAGE[1]:
        yield f"systems: {len(survey.systems)}; expected two to eight of {', '.join(systems)}."
    yield from _each_of("systems", survey.systems, systems)
    yield from _each_of("quotas", survey.quotas, cultures)
    for culture, quota in survey.quotas.items():
        yield from _range(f"quotas.{culture}", quota, 1, 100_000)
    if not survey.quotas:
        yield f"quotas: none; expected a number of raters for some of {', '.join(cultures)}."
    yield from _each_of("consent", survey.consent, survey.languages)
    if survey.consent and (
        missing := [lang for lang in survey.languages if not survey.consent.get(lang, "").strip()]
    ):
        yield f"consent: none in {', '.join(missing)}; expected a text in every language, or none at all."
    yield from _questions(survey)
    yield from _primary(survey)
    rules = survey.exclusion
    yield from _each_of("exclusion.affiliations", rules.affiliations, AFFILIATIONS)
    yield from _range("exclusion.consistency", rules.consistency, -1, 1)
    yield from _range("exclusion.seconds", rules.seconds, 0, 3600)
    yield from _range("exclusion.answered", rules.answered, 0, 1)
    yield from _range("pages", survey.pages, 1, 500)
    yield from _range("attention", survey.attention, 0, max(0, survey.pages))
    yield from _range("small", survey.small, 1, 1000)
    yield from _range("seed", survey.seed, 0, 2**63 - 1)
    yield from _each_of("languages", survey.languages, languages)
    if not survey.languages:
        yield f"languages: none; expected some of {', '.join(languages)}."


def _questions(survey: Survey) -> Iterator[str]:
    names = [question.name for question in survey.questions]
    if not 1 <= len(names) <= 8:
        yield f"questions: {len(names)}; expected one to eight."
    if len(set(names)) < len(names):
        yield f"questions: {', '.join(names)}; expected each once."
    for question in survey.questions:
        if not NAME.fullmatch(question.name):
            yield f"questions: {question.name!r}; expected a name of small letters, digits and _."
        elif question.name not in QUESTIONS and not question.text:
            yield f"questions: {question.name!r} needs a `text`; without one, {_options(question.name, QUESTIONS)}"
        elif question.name not in QUESTIONS:
            for key in ("text", "reversed_text") if survey.attention else ("text",):
                missing = [
                    lang for lang in survey.languages if not getattr(question, key).get(lang, "").strip()
                ]
                if missing:
                    yield f"questions: {question.name} has no {key} in {', '.join(missing)}."


def _primary(survey: Survey) -> Iterator[str]:
    primary = survey.primary
    yield from _each_of(
        "primary.question", [primary.question], [question.name for question in survey.questions]
    )
    yield from _each_of("primary.system", [primary.system], survey.systems)
    yield from _each_of("primary.against", [primary.against], survey.systems)
    if primary.system == primary.against:
        yield f"primary: {primary.system} cannot be compared with itself; expected two of the systems."
    if not 0 < primary.alpha < 1:
        yield f"primary.alpha: {primary.alpha}; expected a number between 0 and 1, such as 0.05."


def _each_of(place: str, values: Iterable[str], options: Collection[str]) -> Iterator[str]:
    values = list(values)
    for value in dict.fromkeys(values):
        if value not in options:
            yield f"{place}: {value!r}; {_options(value, options)}"
        elif values.count(value) > 1:
            yield f"{place}: {value!r} is listed {values.count(value)} times; expected once."


def _range(place: str, number: float, low: float, high: float) -> Iterator[str]:
    if not low <= number <= high:
        yield f"{place}: {number}; expected {low} to {high}."


def _options(value: str, options: Collection[str]) -> str:
    return f"expected one of {', '.join(options)}{did_you_mean(value, options)}"


def _describe(fault: Mapping[str, Any]) -> str:
    """Pydantic's error as place, value and expected value."""
    place = ".".join(map(str, fault["loc"]))
    if fault["type"] == "unexpected_keyword_argument":
        part: Any = SECTIONS.get(str(fault["loc"][0]), Survey) if len(fault["loc"]) > 1 else Survey
        assert is_dataclass(part)
        return f"there is no setting {place!r}; {_options(str(fault['loc'][-1]), [f.name for f in fields(part)])}"
    if fault["type"] == "missing":
        return f"{place} is missing."
    expected = fault["msg"].removeprefix("Input should be ")
    return f"{place}: {fault['input']!r}; expected {expected}."
