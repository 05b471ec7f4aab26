"""The survey file: what is asked of whom, and how it will be analysed, fixed before the first answer.

`survey_yaml` reads and writes it. The database keeps its digest as it was for the first rater, so that a later change
is seen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from pydantic import ConfigDict, with_config

QUESTIONS = ("match", "culture", "stereotype", "offence")
"""Of the paper's study (section 5.1): rank 1 is the best match to the description, the best representation of the
culture, the least stereotypical by one's own knowledge, the least offensive to oneself."""

AFFILIATIONS = ("member", "lived", "other", "described", "unsaid")
"""How raters describe their tie to the culture; `described`: in words of their own."""

STRICT = ConfigDict(extra="forbid")


@with_config(STRICT)
@dataclass(frozen=True)
class Ethics:
    """The approval's reference; without one the survey is a pilot, which is served on this machine alone."""

    reference: str = ""
    pilot: bool = False

    @property
    def stated(self) -> bool:
        """Nobody is asked before it is."""
        return self.pilot or bool(self.reference.strip())


@with_config(STRICT)
@dataclass(frozen=True)
class Question:
    """One of `QUESTIONS`, whose words are in the catalogues, or one with words of its own.

    Attributes:
        text: language -> wording, of a question that is not in the catalogues.
        reversed_text: language -> the same turned round, for attention pages.
    """

    name: str
    text: Mapping[str, str] = field(default_factory=dict)
    reversed_text: Mapping[str, str] = field(default_factory=dict)


@with_config(STRICT)
@dataclass(frozen=True)
class PrimaryComparison:
    """The one comparison on which the survey's claim rests."""

    question: str = "culture"
    system: str = "mpc"
    against: str = "base"
    alpha: float = 0.05


@with_config(STRICT)
@dataclass(frozen=True)
class Exclusion:
    """Rules, fixed beforehand, by which a rater is left out of the analysis.

    Attributes:
        consistency: Kendall's tau between a page and its repeat (or its mirror, of a reversed page), averaged over the
            attention pages, below which a rater is left out.
        seconds: median time of an answer below which a rater is left out.
        answered: share of their pages with an answer below which a rater is left out.
        affiliations: only raters who describe themselves so are analysed; empty: all.
    """

    consistency: float = 0.0
    seconds: float = 2.0
    answered: float = 0.5
    affiliations: tuple[str, ...] = ()


@with_config(STRICT)
@dataclass(frozen=True)
class Survey:
    """A survey of a study's samples.

    Attributes:
        systems: the variants whose images a page sets side by side, two to eight.
        quotas: culture -> the number of raters that is wanted.
        pages: how many a rater is asked, besides `attention` pages.
        languages: of the catalogues, the first is shown first.
        consent: language -> the consent page's text, empty lines between paragraphs; else the catalogue's.
        rate: whether 1–5 ratings are asked beside ranks.
        blur: whether images are blurred until clicked.
        seed: of every random order.
        small: a cell of fewer raters than this is suppressed in exports.
    """

    title: str
    study: str
    systems: tuple[str, ...]
    quotas: Mapping[str, int]
    contact: str = ""
    consent: Mapping[str, str] = field(default_factory=dict)
    ethics: Ethics = field(default_factory=Ethics)
    questions: tuple[Question, ...] = tuple(map(Question, QUESTIONS))
    primary: PrimaryComparison = field(default_factory=PrimaryComparison)
    exclusion: Exclusion = field(default_factory=Exclusion)
    pages: int = 12
    attention: int = 2
    languages: tuple[str, ...] = ("en", "ar")
    rate: bool = True
    blur: bool = True
    seed: int = 0
    small: int = 5


def digest(survey: Survey) -> str:
    """Of all that the file says, comments aside."""
    canonical = json.dumps(asdict(survey), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
