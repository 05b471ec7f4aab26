"""What the demo's raters judge by, and whether a survey of them found it out.

Their worths are the toy world's own truths, measured by its judges: what a person of the culture would see.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.stats import spearmanr

from scoft_hpc.errors import RatingError
from scoft_hpc.ratings.demo.simulation import SimulatedRater, World
from scoft_hpc.ratings.survey import Survey
from scoft_hpc.results.formats import number
from scoft_hpc.results.people import POOLED, Number, People, interval, title
from scoft_hpc.results.study import Study

TRUTHS = {
    "match": ("subject", 3.0),
    "culture": ("in_style", 3.0),
    "stereotype": ("default_style", -3.0),
    "offence": ("default_style", -1.5),
}
"""Question -> the measure that raters go by, and by how much a worth differs between none and all of its samples."""
LEAST = 0.8
"""So many of the 95 % intervals hold the truth at least: the misses of one survey come together, since the same raters
answer everything."""


@dataclass(frozen=True)
class Compared:
    """A system under a question in a culture: how often it truly wins against the reference, and what was found."""

    question: str
    culture: str
    system: str
    true: float
    found: Number

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
        apart: pairs of systems, over all questions, whose order the survey tells with confidence; `wrong` of them it
            tells the wrong way round.
        skills: Spearman's correlation of raters' true skills with the ones found, culture by culture, averaged.
    """

    wins: tuple[Compared, ...]
    apart: int
    wrong: int
    skills: float

    @property
    def held(self) -> tuple[int, int]:
        """So many intervals hold the truth, of so many."""
        told = [one.holds for one in self.wins if one.holds is not None]
        return sum(told), len(told)

    @property
    def agrees(self) -> bool:
        held, told = self.held
        return held >= LEAST * told > 0 and not self.wrong and self.skills > 0


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
    if rater.spams:
        return 0.5
    d = rater.skill * (rater.worths[question][system] - rater.worths[question][against])
    return sum(1 / (1 + math.exp(-(d + shift))) for shift in (-rater.tie, rater.tie)) / 2


def compare(found: People, raters: Sequence[SimulatedRater]) -> Recovered:
    """The survey's win rates, orders and skills beside the raters' own."""
    apart = list(_apart(found, raters))
    return Recovered(
        wins=tuple(_wins(found, raters)),
        apart=len(apart),
        wrong=apart.count(False),
        skills=_skills(found, raters),
    )


def _wins(found: People, raters: Sequence[SimulatedRater]) -> Iterator[Compared]:
    """Of each culture, and of all, in which cultures count alike."""
    cultures = [crowd.culture for crowd in found.crowds]
    for table in found.tables:
        for one in table.standings:
            if one.wins is not None:
                of = cultures if table.culture == POOLED else [table.culture]
                true = [_win(raters, culture, table.question, one.system, found.against) for culture in of]
                yield Compared(table.question, table.culture, one.system, float(np.mean(true)), one.wins)


def _win(raters: Sequence[SimulatedRater], culture: str, question: str, system: str, against: str) -> float:
    own = [rater for rater in raters if rater.culture == culture]
    return float(np.mean([win(rater, question, system, against) for rater in own]))


def _apart(found: People, raters: Sequence[SimulatedRater]) -> Iterator[bool]:
    """Of each pair whose worths' intervals over all cultures do not meet: whether it is the right way round."""
    for question in found.questions:
        standings = found.table(question).standings
        for one in standings:
            for other in standings:
                if (one.worth.low or -math.inf) > (other.worth.high or math.inf):
                    yield float(np.mean([win(r, question, one.system, other.system) for r in raters])) > 0.5


def _skills(found: People, raters: Sequence[SimulatedRater]) -> float:
    """Raters enrolled in their order, so a rater's number is the simulation's."""
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
            place = (title(one.question), one.culture or "all", one.system)
            mark = "misses" if one.holds is False else ""
            lines.add_row(*place, number(one.true), number(one.found.value), interval(one.found), mark)
    yield lines
    held, told = recovered.held
    yield f"{held} of {told} intervals hold the truth, of single cultures and of all (95 in 100 should)."
    yield f"{recovered.apart} pairs of systems are told apart, {recovered.wrong} of them the wrong way round."
    yield f"Raters' skills as found go with the true ones by Spearman's {number(recovered.skills)}, within cultures."
