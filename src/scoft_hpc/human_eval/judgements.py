"""Raters' judgements as the analysis reads them: one per rater, page and question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """Why a page is shown.

    `regular`: for its own sake, stored and exported as `asked`; `repeat`: shown again, to measure a rater's
    consistency; `reversed`: shown again with the reversed question (rank 1 is the worst), to see whether they read it.
    """

    regular = "asked"
    repeat = "repeat"
    reversed = "reversed"


@dataclass(frozen=True)
class Judgement:
    """One rater's answer to one question about one page.

    Attributes:
        rater: a number within the survey, which does not identify the person.
        culture: the community whose images the rater was asked about.
        page: the page's id; a repeat has the id of the page that it repeats.
        position: in the rater's sequence, from 0.
        ranks: system (variant) -> rank, 1 is the best, equal ranks are ties; None: the rater cannot judge. On a
            `reversed` page 1 is the worst.
        ratings: system -> 1 (worst) to 5 (best); only those that the rater gave.
        offended: the systems whose image offends the rater.
        seconds: how long the answer took; 0: unknown.
    """

    rater: int
    culture: str
    page: str
    position: int
    kind: Kind
    question: str
    ranks: Mapping[str, int] | None
    ratings: Mapping[str, int] = field(default_factory=dict)
    offended: frozenset[str] = frozenset()
    seconds: float = 0.0


@dataclass(frozen=True)
class Participant:
    """A rater who gave consent and has not withdrawn, as the analysis knows them.

    Attributes:
        affiliation: how they describe their tie to the culture, one of `survey.AFFILIATIONS`.
        finished: whether all of their pages are answered or skipped.
    """

    rater: int
    culture: str
    affiliation: str
    language: str
    finished: bool
