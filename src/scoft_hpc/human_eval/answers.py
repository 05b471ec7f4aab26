"""A rater, and what they give: checked here before any of it is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scoft_hpc.human_eval.counterbalance import Task
from scoft_hpc.human_eval.survey import AFFILIATIONS, Survey

RATINGS = (1, 5)
LONGEST = 2000
"""Characters of a text of the rater's own."""
LONGEST_WORD = 100
"""Characters of a version or an id."""


@dataclass(frozen=True)
class Rater:
    """Somebody who gave consent.

    Attributes:
        id: 32 random hex digits, the only handle; whoever has it is the rater.
        number: within the survey, from 1; never given twice.
        affiliation: one of `AFFILIATIONS`; own_words: theirs, of `described` alone; never exported.
        consent: the version of the page that they agreed to.
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
    """An answer to one question about one page, its images by their opaque names.

    Attributes:
        ranks: image -> rank from 1, equal ranks are ties; all images, unless it is a draft; none with
            `cannot_judge`.
        ratings: image -> 1 (worst) to 5 (best), of as many images as the rater likes.
        offended: image -> the reason, "" where none is given.
        draft: begun and not confirmed yet; no analysis reads it.
        seconds: that the answer took; 0: the store measures it.
    """

    ranks: Mapping[str, int]
    ratings: Mapping[str, int]
    offended: Mapping[str, str]
    cannot_judge: bool = False
    draft: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class PanelProgress:
    """A culture's raters, for whoever leads the survey.

    Attributes:
        enrolled: raters who have not withdrawn; finished: of these, who answered or skipped every page.
        answers: confirmed ones; seconds: the median of an answer, 0 where there is none.
    """

    culture: str
    quota: int
    enrolled: int
    finished: int
    answers: int
    withdrawn: int
    seconds: float


def check(given: RaterAnswer, task: Task, question: str, survey: Survey) -> None:
    """Refuse what no form of ours sends.

    Raises:
        ValueError: for another page's image, a rank or rating out of its range, a confirmed answer with pictures
            unranked, or a text that cannot be kept.
    """
    if question not in task.questions:
        raise ValueError(f"page {task.position} is not asked {question!r}")
    images = set(task.order)
    if not given.ranks.keys() | given.ratings.keys() | given.offended.keys() <= images:
        raise ValueError(f"page {task.position} has no such image")
    _check_numbers("rank", given.ranks, 1, len(images))
    _check_numbers("rating", given.ratings, *RATINGS)
    if given.ratings and not survey.rate:
        raise ValueError("this survey asks for no ratings")
    if given.cannot_judge and given.ranks:
        raise ValueError("ranks and `cannot judge` exclude each other")
    if not (given.draft or given.cannot_judge or given.ranks.keys() == images):
        raise ValueError("a confirmed answer ranks every image")
    for reason in given.offended.values():
        check_text("reason", reason, LONGEST)
    if not (math.isfinite(given.seconds) and given.seconds >= 0):
        raise ValueError(f"an answer takes no {given.seconds} seconds")


def check_rater(rater: Rater, survey: Survey) -> None:
    """Refuse a rater whom the survey does not ask for.

    Raises:
        ValueError: for a culture, an affiliation or a language that it does not have, or a text that cannot be kept.
    """
    for what, value, options in (
        ("culture", rater.culture, survey.quotas),
        ("affiliation", rater.affiliation, AFFILIATIONS),
        ("language", rater.language, survey.languages),
    ):
        if value not in options:
            raise ValueError(f"the survey has no {what} {value!r}")
    check_text("own words", rater.own_words, LONGEST)
    check_text("consent", rater.consent, LONGEST_WORD)


def check_text(what: str, text: str, longest: int) -> None:
    """Refuse a text that is too long or that no database takes: with NUL or half a character.

    Raises:
        ValueError: saying `what` it is.
    """
    if len(text) > longest:
        raise ValueError(f"{what}: at most {longest} characters")
    if any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"{what}: letters only")


def _check_numbers(what: str, numbers: Mapping[str, int], least: int, most: int) -> None:
    for number in numbers.values():
        if type(number) is not int or not least <= number <= most:
            raise ValueError(f"a {what} is a whole number from {least} to {most}, not {number!r}")
