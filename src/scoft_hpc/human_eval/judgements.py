"""What raters said, as every analysis reads it: one line a rater, page and question."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """Why a page is shown.

    `asked` for its own sake; `repeat` once more, to see whether a rater answers alike; `reversed` once more with the
    question turned round (rank 1 is the worst), to see whether they read it.
    """

    asked = "asked"
    repeat = "repeat"
    reversed = "reversed"


@dataclass(frozen=True)
class Judgement:
    """One rater's answer to one question about one page.

    Attributes:
        rater: a number within the survey; nothing that tells who it is.
        culture: the community whose images the rater was asked about.
        page: the page's id; a repeat has the id of the page that it repeats.
        position: the place in the rater's sequence, from 0.
        ranks: system (variant) -> rank, 1 is the best, equal ranks are ties; None: the rater cannot judge. Those of a
            `reversed` page are as given: there 1 is the worst.
        ratings: system -> 1 (worst) to 5 (best); empty where none was given.
        offended: the systems whose image offends the rater.
        seconds: from the page's first sight to the answer.
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
    """A rater who gave consent and has not withdrawn, as an analysis may know them.

    Attributes:
        affiliation: how they describe their tie to the culture: `member`, `lived`, `other`, `described` (in own
            words, which no analysis reads) or `unsaid`.
        finished: whether every page of theirs is answered or skipped.
    """

    rater: int
    culture: str
    affiliation: str
    language: str
    finished: bool
