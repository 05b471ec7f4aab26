"""Compare a survey's results with the worths and skills by which the demo's raters judged.

Their worths are the toy world's truths, as its classifiers measured them: what a person of the culture would see.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table
from scipy.stats import spearmanr

from scoft_hpc.errors import RatingError
from scoft_hpc.human_eval.analysis.mmsr import complete_covariance
from scoft_hpc.human_eval.analysis.rankings import Array
from scoft_hpc.human_eval.demo.simulation import SimulatedRater, Worths
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.results.formats import number
from scoft_hpc.results.study import Study
from scoft_hpc.results.survey_results import POOLED, IntervalEstimate, SurveyResults, interval
from scoft_hpc.results.survey_text import question_title

TRUTHS = {
    "match": ("subject", 3.0),
    "culture": ("in_style", 3.0),
    "stereotype": ("default_style", -3.0),
    "offence": ("default_style", -1.5),
}
"""Question -> the metric that determines worths, and the difference in worth between none and all of the samples."""
MIN_COVERAGE = 0.8
"""The share of 95 % intervals that must cover the truth: the misses within one survey are correlated, since the same
raters answer everything [ours]."""
MANY_TASKS = 1 << 30


@dataclass(frozen=True)
class Recovery:
    """A true number and its estimate; of a system under a question in a culture, or of a rater."""

    true: float
    estimate: IntervalEstimate
    question: str = ""
    culture: str = POOLED
    system: str = ""

    @property
    def covered(self) -> bool | None:
        """Whether the interval covers the truth; None without an interval."""
        if self.estimate.low is None or self.estimate.high is None:
            return None
        return self.estimate.low <= self.true <= self.estimate.high


@dataclass(frozen=True)
class RecoveryReport:
    """How well a survey recovered the truth.

    Attributes:
        wins: how often each system wins against the reference.
        pairs: pairs of systems, over all questions; `separated` of them have disjoint intervals, `reversed` of those in
            the wrong order.
        skills: of each rater whose skill is reported.
        skill_correlation: Spearman's correlation of true and estimated skills, the mean over cultures; NaN where no
            skill is reported.
    """

    wins: tuple[Recovery, ...]
    pairs: int
    separated: int
    reversed: int
    skills: tuple[Recovery, ...]
    skill_correlation: float

    @property
    def agrees(self) -> bool:
        """Whether intervals cover, orders are right, and skills, where reported, correlate with the truth.

        One order in twenty may be wrong: systems can truly be alike, and a 95 % interval misses as often.
        """
        counts = (count_covered(self.wins), count_covered(self.skills))
        return (
            all(covered >= MIN_COVERAGE * total for covered, total in counts)
            and counts[0][1] > 0
            and self.reversed <= self.pairs // 20
            and not self.skill_correlation <= 0
        )


def count_covered(recoveries: Sequence[Recovery]) -> tuple[int, int]:
    """The number of intervals that cover the truth, and the number of intervals."""
    covered = [r.covered for r in recoveries if r.covered is not None]
    return sum(covered), len(covered)


def true_worths(study: Study, survey: Survey) -> dict[str, Worths]:
    """Culture -> the systems' worths, from the toy truths with which the study's runs were scored.

    Raises:
        RatingError: if a run has none.
    """

    def worths(culture: str, metric: str, slope: float) -> dict[str, float]:
        raw = {s: slope * _mean_truth(study, culture, s, metric) for s in survey.systems}
        mean = float(np.mean(list(raw.values())))
        return {system: worth - mean for system, worth in raw.items()}

    questions = [question.name for question in survey.questions]
    return {culture: {q: worths(culture, *TRUTHS[q]) for q in questions} for culture in survey.quotas}


def _mean_truth(study: Study, culture: str, system: str, metric: str) -> float:
    values = [run.metric(metric) for run in study.of(culture=culture, variant=system)]
    present = [value for value in values if value is not None]
    if not present:
        raise RatingError(
            f"{culture} {system} was not scored for {metric}, from which the demo's raters derive their answers; "
            f"score it: scoft-hpc evaluate {study.name}."
        )
    return float(np.mean(present))


def win_rate(rater: SimulatedRater, question: str, system: str, against: str) -> float:
    """How often the rater puts `system` before `against`, a tie being half a win.

    Utilities differ by skill × the difference in worth and logistic noise, which is the difference of two Gumbel
    variables. Ties are those of two systems alone.
    """
    win, loss = _strict_win(rater, question, system, against), _strict_win(rater, question, against, system)
    return (1 + win - loss) / 2


def _strict_win(rater: SimulatedRater, question: str, system: str, against: str) -> float:
    worths, skill = rater.worths[question], 0.0 if rater.spams else rater.skill
    return 1 / (1 + math.exp(rater.tie_margin - skill * (worths[system] - worths[against])))


def limit_accuracies(raters: Sequence[SimulatedRater]) -> Array:
    """M-MSR's accuracies of one culture's raters [raters] in the limit of infinitely many pages.

    They are not the shares of correct labels: pairs are not equally hard, so raters are not one-coin as M-MSR assumes,
    and the skills that explain their agreement are root mean squares rather than means.
    """
    questions = list(raters[0].worths)
    pairs = [(q, a, b) for q in questions for a, b in combinations(raters[0].worths[questions[0]], 2)]
    wins = np.array([[_strict_win(rater, *pair) for pair in pairs] for rater in raters])
    losses = np.array([[_strict_win(rater, q, b, a) for q, a, b in pairs] for rater in raters])
    net, decided = wins - losses, wins + losses
    met = ~np.eye(len(raters), dtype=bool)
    covariance = np.where(met, net @ net.T / (decided @ decided.T), 0.0)
    return (1 + np.clip(complete_covariance(covariance, met, MANY_TASKS), -1, 1)) / 2


def compare(results: SurveyResults, raters: Sequence[SimulatedRater]) -> RecoveryReport:
    """The survey's win rates, orders and skills against the raters' own.

    No rater may be excluded: results do not say who was.
    """
    orders = list(_separated_orders(results, raters))
    return RecoveryReport(
        wins=tuple(_wins(results, raters)),
        pairs=sum(math.comb(len(results.table(question).results), 2) for question in results.questions),
        separated=len(orders),
        reversed=orders.count(False),
        skills=tuple(_skills(results, raters)),
        skill_correlation=_skill_correlation(results, raters),
    )


def _wins(results: SurveyResults, raters: Sequence[SimulatedRater]) -> Iterator[Recovery]:
    for table in results.tables:
        panel = [rater for rater in raters if table.culture in (POOLED, rater.culture)]
        for result in table.results:
            if result.wins is not None and panel:
                true = _mean_win_rate(panel, table.question, result.system, results.against)
                yield Recovery(true, result.wins, table.question, table.culture, result.system)


def _mean_win_rate(raters: Sequence[SimulatedRater], question: str, system: str, against: str) -> float:
    """The mean over cultures of their raters' mean."""
    by_culture: dict[str, list[float]] = {}
    for rater in raters:
        by_culture.setdefault(rater.culture, []).append(win_rate(rater, question, system, against))
    return float(np.mean([np.mean(rates) for rates in by_culture.values()]))


def _separated_orders(results: SurveyResults, raters: Sequence[SimulatedRater]) -> Iterator[bool]:
    """For each pair of systems with disjoint intervals of pooled worths: whether their order is right."""
    for question in results.questions:
        for better, worse in permutations(results.table(question).results, 2):
            low, high = better.worth.low, worse.worth.high
            if low is not None and high is not None and low > high:
                yield _mean_win_rate(raters, question, better.system, worse.system) > 0.5


def _panels(
    results: SurveyResults, raters: Sequence[SimulatedRater]
) -> Iterator[list[tuple[SimulatedRater, IntervalEstimate]]]:
    """Each culture's raters with their estimated accuracies, if there are any.

    A rater's number in the survey is the simulation's, because raters enrol in that order.
    """
    by_number = {rater.number: rater for rater in raters}
    for culture in dict.fromkeys(skill.culture for skill in results.skills):
        skills = [s for s in results.skills if s.culture == culture and s.rater in by_number]
        if skills:
            yield [(by_number[skill.rater], skill.accuracy) for skill in skills]


def _skills(results: SurveyResults, raters: Sequence[SimulatedRater]) -> Iterator[Recovery]:
    for panel in _panels(results, raters):
        accuracies = limit_accuracies([rater for rater, _ in panel])
        for true, (rater, estimate) in zip(accuracies, panel, strict=True):
            yield Recovery(float(true), estimate, culture=rater.culture)


def _skill_correlation(results: SurveyResults, raters: Sequence[SimulatedRater]) -> float:
    correlations = []
    for panel in _panels(results, raters):
        if len(panel) > 2:
            true = [0.0 if rater.spams else rater.skill for rater, _ in panel]
            correlations.append(spearmanr(true, [estimate.value for _, estimate in panel])[0])
    return float(np.mean(correlations)) if correlations else math.nan


def render(report: RecoveryReport, against: str) -> Iterable[Table | str]:
    """True and estimated values for a terminal: pooled results, and each interval that misses."""
    table = Table(title=f"How often a system wins against {against}", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("question", "culture", "system"):
        table.add_column(heading)
    for heading in ("true", "estimate", "95 % interval"):
        table.add_column(heading, justify="right")
    table.add_column()
    for win in report.wins:
        if win.culture == POOLED or win.covered is False:
            cells = (question_title(win.question), win.culture or "all", win.system, number(win.true))
            mark = "misses" if win.covered is False else ""
            table.add_row(*cells, number(win.estimate.value), interval(win.estimate), mark)
    wins, skills = (
        "{} of {}".format(*count_covered(recoveries)) for recoveries in (report.wins, report.skills)
    )
    return (
        table,
        f"{wins} intervals of win rates cover the true value, pooled and by culture (expected: at least 95 %).",
        f"{report.separated} pairs of systems are separated, {report.reversed} of them in the wrong order.",
        f"{skills} intervals of raters' skills cover the true value; Spearman's correlation of estimated and true "
        f"skills within cultures is {number(report.skill_correlation)}."
        if report.skills
        else "Raters' skills are not reported: every culture has too few raters.",
    )
