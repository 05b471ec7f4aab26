"""What people said of a study's samples, as `survey results` left it in results.json.

The analysis itself is in `scoft_hpc.human_eval.analysis`, above this room; whoever shows its numbers reads them here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from scoft_hpc.results import survey_labels
from scoft_hpc.results.formats import number
from scoft_hpc.study.atomic import write_text
from scoft_hpc.study.paths import SurveyDir

VERSION = 1
POOLED = ""
"""The culture of what is told of all cultures together."""


@dataclass(frozen=True)
class IntervalEstimate:
    """An estimate with its 95 % interval; None at both ends where too few raters tell."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def has_interval(self) -> bool:
        return self.low is not None and self.high is not None


@dataclass(frozen=True)
class SystemResult:
    """A system in the eyes of the raters of one culture, or of all, under one question.

    Attributes:
        rank: the mean rank, ties sharing the mean of their places.
        shares: of its mean ranks 1, 1.5, 2, … how often each was given.
        worth: its Plackett–Luce worth, centred at 0.
        first: the probability of being put first.
        best: in what share of resamples no system has a higher worth; None where too few raters tell.
        wins: how often it wins against the reference, a tie being half a win; None of the reference itself.
        rating: the mean of 1 to 5; None where none was asked.
        offended: the share of its pictures that offended whoever looked.
    """

    system: str
    rank: float
    shares: tuple[float, ...]
    worth: IntervalEstimate
    first: IntervalEstimate
    best: float | None
    wins: IntervalEstimate | None
    rating: float | None
    offended: float


@dataclass(frozen=True)
class Table:
    """One question in one culture (`POOLED`: in all).

    `results` is empty where too few raters answered to tell of them without telling who said what, or none did;
    `unable` of the answers were "cannot judge"; `agreement` is Krippendorff's α.
    """

    question: str
    culture: str
    raters: int
    rankings: int
    unable: int
    agreement: IntervalEstimate | None
    results: tuple[SystemResult, ...]


@dataclass(frozen=True)
class PairwiseTest:
    """A system held against another under one question, over all cultures.

    p is of a sign-flip test over raters; `corrected` after Holm's over the family, None of the primary comparison and
    where there is no p.
    """

    question: str
    system: str
    against: str
    raters: int
    wins: IntervalEstimate | None
    p: float | None
    corrected: float | None

    @property
    def holds(self) -> bool:
        return self.corrected is not None and self.corrected <= 0.05


@dataclass(frozen=True)
class PrimaryResult:
    """The comparison on which the survey's claim rests: with the exclusions, and with everybody."""

    alpha: float
    test: PairwiseTest
    without_exclusions: PairwiseTest

    @property
    def min_raters(self) -> int:
        """So many raters can reach p ≤ alpha by flips of their signs."""
        return 1 + math.ceil(-math.log2(self.alpha))

    @property
    def sentence(self) -> str:
        """What came out, in plain words."""
        return self._sentence(self.test)

    @property
    def sentence_without_exclusions(self) -> str:
        """What would have come out without exclusions."""
        return self._sentence(self.without_exclusions)

    def _sentence(self, one: PairwiseTest) -> str:
        asked = survey_labels.question_title(one.question).lower()
        if one.wins is None or one.p is None or one.raters < self.min_raters:
            few = (
                "nobody answered"
                if one.raters == 0
                else f"{survey_labels.raters(one.raters)}, of whom {self.min_raters} are needed"
            )
            reason = few if one.raters < self.min_raters else "every comparison was a tie"
            return f"Whether people prefer {one.system} to {one.against} ({asked}) cannot be told: {reason}."
        share = f"{100 * one.wins.value:.0f} % of comparisons"
        if one.wins.has_interval:
            share += f" (95 % interval {100 * (one.wins.low or 0):.0f} to {100 * (one.wins.high or 0):.0f})"
        pair = (one.system, one.against)
        better, worse = pair if one.wins.value > 0.5 else reversed(pair)
        verdict = (
            f"People prefer {better} to {worse} ({asked})"
            if one.p <= self.alpha
            else f"It is not shown that people prefer {one.system} to {one.against}, or the other way round ({asked})"
        )
        p = survey_labels.p_value_phrase(one.p)
        return f"{verdict}: {one.system} won {share}, {survey_labels.raters(one.raters)}, p {p}."


@dataclass(frozen=True)
class RaterSkill:
    """How often a rater's preference is the one that good raters share (M-MSR, keyed by page), by number."""

    rater: int
    culture: str
    accuracy: IntervalEstimate


@dataclass(frozen=True)
class WeightedVote:
    """The share of page pairs that a system wins under one question by weighted majority: raters count by their
    skill."""

    question: str
    system: str
    majority: float


@dataclass(frozen=True)
class MetricAgreement:
    """How an automatic metric goes with people under one question.

    Attributes:
        pairs: of single pictures: how often it prefers what a rater prefers, ½ is chance; None of a metric of sets.
        within: Spearman's correlation with worths over a culture's systems, averaged over cultures.
        overall: the same over all cultures' systems together.
        kendall: τ_b of the latter.
        points: how many (culture, system) there are.
    """

    question: str
    metric: str
    pairs: IntervalEstimate | None
    within: IntervalEstimate | None
    overall: IntervalEstimate | None
    kendall: float | None
    points: int


@dataclass(frozen=True)
class Panel:
    """A culture's raters: asked for, who gave consent, and who is analysed."""

    culture: str
    quota: int
    raters: int
    analysed: int


@dataclass(frozen=True)
class SurveyResults:
    """All that `survey results` found.

    Attributes:
        against: the reference system of `tests` and wins.
        excluded: rule -> how many raters break it; `out`: how many are left out, who may break several.
        consistency: quartiles of raters' mean τ between a page and its repeat, before exclusions; empty without any.
        small: of fewer raters a culture's own table is not told.
        fixed: whether the survey file is as it was when the first rater came.
    """

    title: str
    questions: tuple[str, ...]
    systems: tuple[str, ...]
    against: str
    panels: tuple[Panel, ...]
    primary: PrimaryResult
    tables: tuple[Table, ...]
    tests: tuple[PairwiseTest, ...]
    excluded: dict[str, int]
    n_excluded: int
    consistency: tuple[float, ...]
    skills: tuple[RaterSkill, ...]
    votes: tuple[WeightedVote, ...]
    metric_agreement: tuple[MetricAgreement, ...]
    min_cell_size: int
    preregistered: bool = True

    @property
    def raters(self) -> int:
        return sum(one.raters for one in self.panels)

    @property
    def analysed(self) -> int:
        return sum(one.analysed for one in self.panels)

    def table(self, question: str, culture: str = POOLED) -> Table:
        return next(one for one in self.tables if (one.question, one.culture) == (question, culture))

    def of(self, question: str) -> list[Table]:
        """The cultures' own tables."""
        return [one for one in self.tables if one.question == question and one.culture != POOLED]


def finite(value: float, low: float = -math.inf, high: float = math.inf) -> IntervalEstimate:
    """With an interval if both of its ends are finite."""
    both = math.isfinite(low) and math.isfinite(high)
    return IntervalEstimate(float(value), float(low) if both else None, float(high) if both else None)


def write(path: Path, found: SurveyResults) -> None:
    write_text(path, json.dumps({"version": VERSION, **asdict(found)}, indent=1, allow_nan=False) + "\n")


def read(folder: SurveyDir, notes: list[str]) -> SurveyResults | None:
    """None where no survey was analysed, or results.json cannot be read, which becomes a note."""
    from pydantic import TypeAdapter, ValidationError

    again = "`scoft-hpc survey results` writes it anew"
    try:
        content = json.loads(folder.results.read_text(encoding="utf-8"))
        version = content.pop("version")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        notes.append(f"{folder.results} cannot be read and is left out ({error!r}); {again}.")
        return None
    if version != VERSION:
        notes.append(
            f"{folder.results} is of version {version!r} and left out; version {VERSION} is read. {again}."
        )
        return None
    try:
        return TypeAdapter(SurveyResults).validate_python(content)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"]))
        notes.append(f"{folder.results} is left out ({place}: {fault['msg']}); {again}.")
        return None


def interval(found: IntervalEstimate, digits: int = 2) -> str:
    """`.12 to .34`; empty where there is none."""
    return f"{number(found.low, digits)} to {number(found.high, digits)}" if found.has_interval else ""


def spread(shares: Iterable[float]) -> list[tuple[float, float]]:
    """(mean rank, share), as `SystemResult.shares` has them."""
    return [(1 + i / 2, share) for i, share in enumerate(shares)]
