"""The results of a study's survey, as `survey results` writes them to results.json.

`scoft_hpc.human_eval.analysis` computes them; the reports and the terminal read them here.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from scoft_hpc.results.formats import number
from scoft_hpc.study.atomic import write_json
from scoft_hpc.study.paths import SurveyDir

VERSION = 1
POOLED = ""
"""In place of a culture: all cultures together."""


@dataclass(frozen=True)
class IntervalEstimate:
    """An estimate with its 95 % interval; None at both ends where there are too few raters."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def has_interval(self) -> bool:
        return self.low is not None and self.high is not None


@dataclass(frozen=True)
class SystemResult:
    """A system's results under one question, from the raters of one culture or of all.

    Attributes:
        mean_rank: systems that tie share the mean of their places.
        rank_shares: how often each of the mean ranks 1, 1.5, 2, … was given.
        worth: its Plackett–Luce worth, centred at 0.
        first: the probability of being ranked first.
        best: the share of resamples in which no system has a higher worth; None with too few raters.
        wins: how often it wins against the reference, a tie being half a win; None of the reference itself.
        rating: the mean of 1 to 5; None where the survey asks for no ratings.
        offence_rate: the share of its images that offended their rater.
    """

    system: str
    mean_rank: float
    rank_shares: tuple[float, ...]
    worth: IntervalEstimate
    first: IntervalEstimate
    best: float | None
    wins: IntervalEstimate | None
    rating: float | None
    offence_rate: float


@dataclass(frozen=True)
class Table:
    """One question in one culture, or in all (`POOLED`).

    `results` is empty without answers, or where so few raters answered that results would reveal who gave which answer.
    `n_cannot_judge` counts answers; `agreement` is Krippendorff's α.
    """

    question: str
    culture: str
    raters: int
    rankings: int
    n_cannot_judge: int
    agreement: IntervalEstimate | None
    results: tuple[SystemResult, ...]


@dataclass(frozen=True)
class PairwiseTest:
    """A sign-flip test over raters of a system against another under one question, over all cultures.

    `p_holm` is Holm-corrected over the family; None of the primary comparison and where there is no p.
    """

    question: str
    system: str
    against: str
    raters: int
    wins: IntervalEstimate | None
    p: float | None
    p_holm: float | None

    @property
    def is_significant(self) -> bool:
        return self.p_holm is not None and self.p_holm <= 0.05


@dataclass(frozen=True)
class PrimaryResult:
    """The survey's primary comparison: with the exclusions, and without."""

    alpha: float
    test: PairwiseTest
    without_exclusions: PairwiseTest

    @property
    def min_raters(self) -> int:
        """The number of raters from which a sign-flip test can reach p ≤ alpha."""
        return 1 + math.ceil(-math.log2(self.alpha))


@dataclass(frozen=True)
class RaterSkill:
    """How often a rater gives the true label of a pair on a page, as M-MSR estimates it."""

    rater: int
    culture: str
    accuracy: IntervalEstimate


@dataclass(frozen=True)
class WeightedVote:
    """The share of page pairs that a system wins in a vote in which raters are weighted by skill."""

    question: str
    system: str
    majority: float


@dataclass(frozen=True)
class MetricAgreement:
    """How an automatic metric agrees with people under one question.

    Attributes:
        pairs: how often it prefers the image that a rater prefers, ½ is chance; None for a metric of sets.
        within: Spearman's correlation with worths over a culture's systems, the mean over cultures.
        overall: the same over all cultures' systems together.
        kendall: τ_b of the latter.
        points: the number of (culture, system).
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
    """A culture's raters: the quota, those who gave consent, and those who are analysed."""

    culture: str
    quota: int
    raters: int
    analysed: int


@dataclass(frozen=True)
class SurveyResults:
    """Everything that `survey results` reports.

    Attributes:
        against: the reference system of `tests` and wins.
        excluded: rule -> number of raters who break it; a rater may break several. `n_excluded`: raters excluded.
        consistency: quartiles of raters' mean τ between a page and its repeat, before exclusions; or empty.
        min_cell_size: a culture with fewer raters has no results of its own.
        preregistered: whether the survey file has not changed since the first rater.
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
        return sum(panel.raters for panel in self.panels)

    @property
    def analysed(self) -> int:
        return sum(panel.analysed for panel in self.panels)

    def table(self, question: str, culture: str = POOLED) -> Table:
        return next(t for t in self.tables if (t.question, t.culture) == (question, culture))

    def by_culture(self, question: str) -> list[Table]:
        """The table of each culture."""
        return [t for t in self.tables if t.question == question and t.culture != POOLED]

    def is_primary(self, question: str, system: str) -> bool:
        """Whether the primary comparison is this system's with the reference."""
        test = self.primary.test
        return (question, system, self.against) == (test.question, test.system, test.against)


def finite(value: float, low: float = -math.inf, high: float = math.inf) -> IntervalEstimate:
    """With an interval if both of its ends are finite."""
    both = math.isfinite(low) and math.isfinite(high)
    return IntervalEstimate(float(value), float(low) if both else None, float(high) if both else None)


def write(path: Path, results: SurveyResults) -> None:
    write_json(path, {"version": VERSION, **asdict(results)})


def read(folder: SurveyDir, notes: list[str]) -> SurveyResults | None:
    """None without results.json, or where it cannot be read, which becomes a note."""
    from pydantic import TypeAdapter, ValidationError

    remedy = "write it again with `scoft-hpc survey results`"
    try:
        content = json.loads(folder.results.read_text(encoding="utf-8"))
        if (version := content.pop("version")) == VERSION:
            return TypeAdapter(SurveyResults).validate_python(content)
        reason = f"has version {version!r}, expected {VERSION},"
    except FileNotFoundError:
        return None
    except ValidationError as error:
        fault = error.errors()[0]
        reason = f"is invalid ({'.'.join(map(str, fault['loc']))}: {fault['msg']})"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"cannot be read ({error!r})"
    notes.append(f"{folder.results} {reason} and is ignored; {remedy}.")
    return None


def interval(estimate: IntervalEstimate) -> str:
    """`.12 to .34`; empty where there is none."""
    return f"{number(estimate.low)} to {number(estimate.high)}" if estimate.has_interval else ""
