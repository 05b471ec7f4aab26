"""The survey's settings: questions, raters and analysis, fixed before the first answer.

`survey_yaml` reads and writes the file. The database stores its digest when the first rater enrols, so that a later
change is detected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from pydantic import ConfigDict, with_config

QUESTIONS = ("match", "culture", "stereotype", "offence")
"""The questions of the paper's study (section 5.1). Rank 1 is the best match to the description, the best
representation of the culture, the least stereotypical to the rater's knowledge, the least offensive to the rater."""

AFFILIATIONS = ("member", "lived", "other", "described", "unsaid")
"""How raters describe their tie to the culture; `described`: in their own words, `unsaid`: not at all."""

STRICT = ConfigDict(extra="forbid")


@with_config(STRICT)
@dataclass(frozen=True)
class Ethics:
    """The approval's reference; a survey without one must be a pilot, which is served on this machine only."""

    reference: str = ""
    pilot: bool = False

    @property
    def stated(self) -> bool:
        """Whether the survey may be served."""
        return self.pilot or bool(self.reference.strip())


@with_config(STRICT)
@dataclass(frozen=True)
class Question:
    """One of `QUESTIONS`, whose wording is in the catalogues, or a question with its own wording.

    Attributes:
        text: language -> wording, of a question that is not in the catalogues.
        reversed_text: language -> wording of the reversed question, for attention pages.
    """

    name: str
    text: Mapping[str, str] = field(default_factory=dict)
    reversed_text: Mapping[str, str] = field(default_factory=dict)


@with_config(STRICT)
@dataclass(frozen=True)
class PrimaryComparison:
    """The comparison on which the survey's claim rests."""

    question: str = "culture"
    system: str = "mpc"
    against: str = "base"
    alpha: float = 0.05


@with_config(STRICT)
@dataclass(frozen=True)
class Exclusion:
    """Rules, fixed in advance, by which raters are excluded from the analysis.

    Attributes:
        consistency: minimum of Kendall's tau between a page and its repeat, or the inverted ranks of a reversed page,
            averaged over the attention pages.
        seconds: minimum of the median time of an answer.
        answered: minimum share of a rater's pages with an answer.
        affiliations: only raters with one of these affiliations are analysed; empty: all.
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
        systems: the variants whose images a page shows side by side, two to eight.
        quotas: culture -> maximum number of raters.
        pages: regular pages per rater; `attention` pages are additional.
        languages: of the catalogues; the first is the default.
        consent: language -> text of the consent page, with empty lines between paragraphs; empty: the catalogue's.
        rate: whether raters can also rate images from 1 to 5.
        blur: whether images are blurred until clicked.
        seed: seed of every random order.
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
    """SHA-256 of all settings."""
    canonical = json.dumps(asdict(survey), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
