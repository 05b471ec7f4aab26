"""What the demo's raters judge by, and whether a survey of them found it out.

Their worths are the toy world's own truths, measured by its judges: what a person of the culture would see.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.stats import spearmanr

from scoft_hpc.errors import RatingError
from scoft_hpc.human_eval.analysis.mmsr import complete_covariance
from scoft_hpc.human_eval.analysis.rankings import Array
from scoft_hpc.human_eval.demo.simulation import SimulatedRater, World
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.results.formats import number
from scoft_hpc.results.study import Study
from scoft_hpc.results.survey_labels import question_title
from scoft_hpc.results.survey_results import POOLED, IntervalEstimate, SurveyResults, interval

TRUTHS = {
    "match": ("subject", 3.0),
    "culture": ("in_style", 3.0),
    "stereotype": ("default_style", -3.0),
    "offence": ("default_style", -1.5),
}
"""Question -> the measure that raters go by, and by how much a worth differs between none and all of its samples."""
LEAST = 0.8
"""So many of the 95 % intervals hold the truth at least: the misses of one survey come together, since the same raters
answer everything [ours]."""
COUNTLESS = 1 << 30
"""Tasks."""


@dataclass(frozen=True)
class Compared:
    """A number that is known beside what was found; of a system under a question in a culture, or of a rater."""

    true: float
    found: IntervalEstimate
    question: str = ""
    culture: str = POOLED
    system: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the interval holds the truth; None where there is none."""
        if self.found.low is None or self.found.high is None:
            return None
        return self.found.low <= self.true <= self.found.high


@dataclass(frozen=True)
class Recovered:
    """Truth beside what was found.

    Attributes:
        wins: how often each system wins against the reference.
        pairs: of systems, over all questions; of `apart` of them the survey tells the order with confidence, and of
            `wrong` the wrong way round.
        skills: of each rater whose skill is told.
        order: Spearman's correlation of raters' true skills with the ones found, culture by culture, averaged; NaN
            where none are told.
    """

    wins: tuple[Compared, ...]
    pairs: int
    apart: int
    wrong: int
    skills: tuple[Compared, ...]
    order: float

    @property
    def agrees(self) -> bool:
        """Whether intervals hold what they should, orders are right, and skills, where told, rise with the truth.

        One order in twenty may be wrong: systems can truly be alike, and an interval of 95 % misses as often.
        """
        enough = (held >= LEAST * told for held, told in (tally(self.wins), tally(self.skills)))
        return (
            all(enough) and tally(self.wins)[1] > 0 and self.wrong <= self.pairs // 20 and not self.order <= 0
        )


def tally(compared: Sequence[Compared]) -> tuple[int, int]:
    """So many intervals hold the truth, of so many."""
    told = [one.holds for one in compared if one.holds is not None]
    return sum(told), len(told)


def world(study: Study, survey: Survey) -> World:
    """The worths of every system for every culture, from the truths that the study's runs were scored with.

    Raises:
        RatingError: if a run has none.
    """
    worths: dict[str, dict[str, dict[str, float]]] = {}
    questions = tuple(question.name for question in survey.questions)
    for culture in survey.quotas:
        worths[culture] = {}
        for question in questions:
            measure, slope = TRUTHS[question]
            found = {s: slope * _truth(study, culture, s, measure) for s in survey.systems}
            mean = float(np.mean(list(found.values())))
            worths[culture][question] = {system: worth - mean for system, worth in found.items()}
    return World(survey.systems, tuple(survey.quotas), questions, worths)


def _truth(study: Study, culture: str, system: str, measure: str) -> float:
    values = [run.metric(measure) for run in study.of(culture=culture, variant=system)]
    told = [value for value in values if value is not None]
    if not told:
        raise RatingError(
            f"{culture} {system} was not scored for {measure}, which the demo's raters go by; score it: "
            f"scoft-hpc evaluate {study.name}."
        )
    return float(np.mean(told))


def win(rater: SimulatedRater, question: str, system: str, against: str) -> float:
    """How often the rater puts `system` before `against`, a tie being half a win.

    Utilities differ by the skill × the worths' difference and a logistic noise, the difference of two Gumbel ones. Ties
    are taken as those of two systems alone.
    """
    outright, lost = _outright(rater, question, system, against), _outright(rater, question, against, system)
    return (1 + outright - lost) / 2


def _outright(rater: SimulatedRater, question: str, system: str, against: str) -> float:
    """How often it is put before, ties being none."""
    worths, skill = rater.worths[question], 0.0 if rater.spams else rater.skill
    return 1 / (1 + math.exp(rater.tie - skill * (worths[system] - worths[against])))


def accuracies(raters: Sequence[SimulatedRater]) -> Array:
    """What M-MSR says of raters of one culture [raters] after countless pages.

    It is not how often they are right: pairs are not equally hard, so raters are not of one coin as M-MSR has them, and
    the skills that explain how they agree are root mean squares rather than means.
    """
    systems, questions = list(raters[0].worths[next(iter(raters[0].worths))]), list(raters[0].worths)
    pairs = [(q, a, b) for q in questions for a, b in combinations(systems, 2)]
    wins = np.array([[_outright(one, *pair) for pair in pairs] for one in raters])
    losses = np.array([[_outright(one, q, b, a) for q, a, b in pairs] for one in raters])
    better, told = wins - losses, wins + losses
    met = ~np.eye(len(raters), dtype=bool)
    covariance = np.where(met, better @ better.T / (told @ told.T), 0.0)
    return (1 + np.clip(complete_covariance(covariance, met, COUNTLESS), -1, 1)) / 2


def compare(found: SurveyResults, raters: Sequence[SimulatedRater]) -> Recovered:
    """The survey's win rates, orders and skills beside the raters' own. Nobody may be excluded: a survey does not say
    whom it left out."""
    apart = list(_apart(found, raters))
    return Recovered(
        wins=tuple(_wins(found, raters)),
        pairs=sum(math.comb(len(found.table(question).results), 2) for question in found.questions),
        apart=len(apart),
        wrong=apart.count(False),
        skills=tuple(_skills(found, raters)),
        order=_order(found, raters),
    )


def _wins(found: SurveyResults, raters: Sequence[SimulatedRater]) -> Iterator[Compared]:
    """Of each culture, and of all, in which cultures count alike."""
    for table in found.tables:
        some = [one for one in raters if table.culture in (POOLED, one.culture)]
        for one in table.results:
            if one.wins is not None and some:
                true = _win(some, table.question, one.system, found.against)
                yield Compared(true, one.wins, table.question, table.culture, one.system)


def _win(raters: Sequence[SimulatedRater], question: str, system: str, against: str) -> float:
    """The mean over cultures of their raters' mean."""
    by_culture: dict[str, list[float]] = {}
    for rater in raters:
        by_culture.setdefault(rater.culture, []).append(win(rater, question, system, against))
    return float(np.mean([np.mean(some) for some in by_culture.values()]))


def _apart(found: SurveyResults, raters: Sequence[SimulatedRater]) -> Iterator[bool]:
    """Of each pair whose worths' intervals over all cultures do not meet: whether it is the right way round."""
    for question in found.questions:
        for one, other in permutations(found.table(question).results, 2):
            low, high = one.worth.low, other.worth.high
            if low is not None and high is not None and low > high:
                yield _win(raters, question, one.system, other.system) > 0.5


def _skills(found: SurveyResults, raters: Sequence[SimulatedRater]) -> Iterator[Compared]:
    """Raters enrolled in their order, so a rater's number is the simulation's."""
    by_number = {one.number: one for one in raters}
    for culture in dict.fromkeys(one.culture for one in found.skills):
        some = [one for one in found.skills if one.culture == culture and one.rater in by_number]
        if some:
            true = accuracies([by_number[one.rater] for one in some])
            for value, one in zip(true, some, strict=True):
                yield Compared(float(value), one.accuracy, culture=culture)


def _order(found: SurveyResults, raters: Sequence[SimulatedRater]) -> float:
    true = {rater.number: 0.0 if rater.spams else rater.skill for rater in raters}
    correlations = []
    for culture in dict.fromkeys(one.culture for one in found.skills):
        some = [one for one in found.skills if one.culture == culture and one.rater in true]
        if len(some) > 2:
            correlations.append(spearmanr([true[s.rater] for s in some], [s.accuracy.value for s in some])[0])
    return float(np.mean(correlations)) if correlations else math.nan


def tables(recovered: Recovered, against: str) -> Iterator[Table | str]:
    """What was true and what was found, for a terminal: all cultures together, and where an interval misses."""
    lines = Table(title=f"How often a system wins against {against}", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("question", "culture", "system"):
        lines.add_column(heading)
    for heading in ("true", "found", "95 % interval"):
        lines.add_column(heading, justify="right")
    lines.add_column()
    for one in recovered.wins:
        if one.culture == POOLED or one.holds is False:
            place = (question_title(one.question), one.culture or "all", one.system)
            mark = "misses" if one.holds is False else ""
            lines.add_row(*place, number(one.true), number(one.found.value), interval(one.found), mark)
    yield lines
    yield f"{_of(recovered.wins)} intervals hold the truth, of single cultures and of all (95 in 100 should at least)."
    yield f"{recovered.apart} pairs of systems are told apart, {recovered.wrong} of them the wrong way round."
    if recovered.skills:
        yield (
            f"{_of(recovered.skills)} intervals of raters' skills hold the true one; skills as found go with the true "
            f"ones by Spearman's {number(recovered.order)}, within cultures."
        )
    else:
        yield "Raters' skills are not told: every culture has too few."


def _of(compared: Sequence[Compared]) -> str:
    held, told = tally(compared)
    return f"{held} of {told}"
