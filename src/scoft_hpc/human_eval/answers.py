"""Raters and their answers, and the checks before any of them is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scoft_hpc.human_eval.counterbalance import Task
from scoft_hpc.human_eval.survey import AFFILIATIONS, Survey

RATINGS = (1, 5)
MAX_TEXT_LENGTH = 2000
"""Characters of a text that a rater writes."""
MAX_ID_LENGTH = 100
"""Characters of a version or an id."""


@dataclass(frozen=True)
class Rater:
    """A person who gave consent.

    Attributes:
        id: 32 random hex digits: whoever has it can answer as this rater.
        number: within the survey, from 1; never assigned twice.
        affiliation: one of `AFFILIATIONS`; own_words: the description, if it is `described`; never exported.
        consent: the version of the consent page that they agreed to.
    """

    id: str
    number: int
    culture: str
    affiliation: str
    own_words: str
    language: str
    consent: str
    blur: bool


@dataclass(frozen=True)
class RaterAnswer:
    """An answer to one question about one page; images have their opaque names.

    Attributes:
        ranks: image -> rank from 1, equal ranks are ties; every image unless it is a draft, none with `cannot_judge`.
        ratings: image -> 1 (worst) to 5 (best), of any number of images.
        offended: image -> the reason, or "".
        draft: not confirmed yet; no analysis reads it.
        seconds: how long the answer took; 0: the store measures it.
    """

    ranks: Mapping[str, int]
    ratings: Mapping[str, int]
    offended: Mapping[str, str]
    cannot_judge: bool = False
    draft: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class PanelProgress:
    """The progress of a culture's raters.

    Attributes:
        enrolled: raters who have not withdrawn; finished: those who answered or skipped every page.
        answers: confirmed answers; seconds: their median duration, 0 without answers.
    """

    culture: str
    quota: int
    enrolled: int
    finished: int
    answers: int
    withdrawn: int
    seconds: float


def check(answer: RaterAnswer, task: Task, question: str, survey: Survey) -> None:
    """Check an answer to a question about a page.

    Raises:
        ValueError: for another page's image, a rank or rating out of range, a confirmed answer with unranked images,
            or a text that cannot be stored.
    """
    if question not in task.questions:
        raise ValueError(f"page {task.position} has no question {question!r}")
    images = set(task.order)
    if not answer.ranks.keys() | answer.ratings.keys() | answer.offended.keys() <= images:
        raise ValueError(f"page {task.position} has no such image")
    _check_numbers("rank", answer.ranks, 1, len(images))
    _check_numbers("rating", answer.ratings, *RATINGS)
    if answer.ratings and not survey.rate:
        raise ValueError("this survey asks for no ratings")
    if answer.cannot_judge and answer.ranks:
        raise ValueError("ranks and `cannot judge` exclude each other")
    if not (answer.draft or answer.cannot_judge or answer.ranks.keys() == images):
        raise ValueError("a confirmed answer ranks every image")
    for reason in answer.offended.values():
        check_text("reason", reason, MAX_TEXT_LENGTH)
    if not (math.isfinite(answer.seconds) and answer.seconds >= 0):
        raise ValueError(f"an answer cannot take {answer.seconds} seconds")


def check_rater(rater: Rater, survey: Survey) -> None:
    """Check that a rater fits the survey.

    Raises:
        ValueError: for a culture, affiliation or language that it does not have, or a text that cannot be stored.
    """
    for what, value, options in (
        ("culture", rater.culture, survey.quotas),
        ("affiliation", rater.affiliation, AFFILIATIONS),
        ("language", rater.language, survey.languages),
    ):
        if value not in options:
            raise ValueError(f"the survey has no {what} {value!r}")
    check_text("own words", rater.own_words, MAX_TEXT_LENGTH)
    check_text("consent", rater.consent, MAX_ID_LENGTH)


def check_text(what: str, text: str, max_length: int) -> None:
    """Check that a text is not too long and that databases can store it: without NUL and lone surrogates.

    Raises:
        ValueError: naming the text as `what`.
    """
    if len(text) > max_length:
        raise ValueError(f"{what}: at most {max_length} characters")
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"{what}: letters only")


def _check_numbers(what: str, numbers: Mapping[str, int], low: int, high: int) -> None:
    for number in numbers.values():
        if type(number) is not int or not low <= number <= high:
            raise ValueError(f"a {what} is a whole number from {low} to {high}, not {number!r}")
