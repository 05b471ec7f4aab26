"""Survey results as phrases, sentences and tables of text, for the terminal, report.html and report.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scoft_hpc.config.metrics import METRICS
from scoft_hpc.results.formats import NONE, listed, number, p_value, signed
from scoft_hpc.results.survey_results import (
    IntervalEstimate,
    PairwiseTest,
    PrimaryResult,
    SurveyResults,
    Table,
    interval,
)
from scoft_hpc.text import plural

QUESTION_TITLES = {
    "match": "Match to the description",
    "culture": "Representation of the culture",
    "stereotype": "Least stereotypical",
    "offence": "Least offensive",
}
EXCLUSION_RULES = {
    "silent": "gave no answer",
    "affiliation": "have another tie to the culture than the survey asks for",
    "answered": "answered too few of their pages",
    "seconds": "answered faster than anyone can look",
    "consistency": "answered differently when a page was repeated",
}
"""Rule of the survey file -> what the raters did whom it excludes."""
FILE_CHANGED = (
    "The survey file has changed since the first rater came: what follows from it was not fixed beforehand."
)


@dataclass(frozen=True)
class TextTable:
    """`rows` have one cell per column."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def question_title(question: str) -> str:
    """A question's title; for one that is not the paper's, its name."""
    return QUESTION_TITLES.get(question, question.replace("_", " ").capitalize())


def too_few(raters: int) -> str:
    """What a table says in place of numbers."""
    return "no answers" if raters == 0 else f"too few raters ({raters})"


def primary_sentence(primary: PrimaryResult, test: PairwiseTest | None = None) -> str:
    """The outcome of the primary comparison, or of its `test` without exclusions."""
    test = test or primary.test
    question, raters = question_title(test.question).lower(), plural(test.raters, "rater")
    if test.wins is None or test.p is None or test.raters < primary.min_raters:
        few = f"{raters}, at least {primary.min_raters} are needed" if test.raters else "no answers"
        reason = few if test.raters < primary.min_raters else "every comparison was a tie"
        return f"Whether people prefer {test.system} to {test.against} ({question}) is undecided: {reason}."
    share = f"{100 * test.wins.value:.0f} % of comparisons"
    if test.wins.has_interval:
        share += f" (95 % interval {100 * (test.wins.low or 0):.0f} to {100 * (test.wins.high or 0):.0f})"
    pair = (test.system, test.against)
    better, worse = pair if test.wins.value > 0.5 else reversed(pair)
    verdict = (
        f"People prefer {better} to {worse} ({question})"
        if test.p <= primary.alpha
        else f"There is no evidence that people prefer {test.system} to {test.against} or the reverse ({question})"
    )
    p = p_value(test.p)
    return f"{verdict}: {test.system} won {share}, {raters}, p {p if p.startswith('<') else f'= {p}'}."


def paragraphs(results: SurveyResults) -> Iterator[str]:
    """The primary comparison first, then who answered."""
    yield primary_sentence(results.primary)
    if results.n_excluded:
        yield f"Without exclusions: {primary_sentence(results.primary, results.primary.without_exclusions)}"
    if not results.preregistered:
        yield FILE_CHANGED
    yield f"{panel_summary(results)} {consistency_summary(results)}".strip()


def panel_summary(results: SurveyResults) -> str:
    """How many raters answered, and how many were excluded by which rule."""
    cultures = listed(f"{panel.culture} {panel.raters}" for panel in results.panels)
    text = f"{plural(results.raters, 'rater')} ({cultures}); {results.analysed} analysed."
    if results.n_excluded:
        reasons = listed(f"{n} {EXCLUSION_RULES.get(rule, rule)}" for rule, n in results.excluded.items())
        rules = "rules fixed beforehand" if results.preregistered else "the survey file’s rules"
        text += f" {results.n_excluded} excluded by {rules}: {reasons}."
    return text


def consistency_summary(results: SurveyResults) -> str:
    """How far raters agree with themselves; empty where no page was repeated."""
    if not results.consistency:
        return ""
    low, median, high = map(number, results.consistency)
    return (
        f"Kendall’s τ between a rater’s rankings of a page and its repeat: median {median}, quartiles {low} and "
        f"{high} (1: equal, 0: chance)."
    )


def table_summary(table: Table) -> str:
    """The number of raters and rankings, and Krippendorff's α."""
    cannot_judge = f", {table.n_cannot_judge} × “cannot judge”" if table.n_cannot_judge else ""
    return f"{plural(table.raters, 'rater')}, {table.rankings:,} rankings{cannot_judge}; α {agreement(table)}"


def agreement(table: Table) -> str:
    """Krippendorff's α, such as `.27 (.21 to .34)`."""
    if table.agreement is None:
        return NONE
    ends = interval(table.agreement)
    return number(table.agreement.value) + (f" ({ends})" if ends else "")


def tables(results: SurveyResults, *, narrow: bool = False) -> Iterator[TextTable]:
    """One table per question; then, for the primary question, mean ranks by culture and metrics against people.

    `narrow` leaves out the probability of being ranked first, so that the tables fit 80 columns.
    """
    for question in results.questions:
        yield _systems(results, question, narrow)
    question = results.primary.test.question
    if len(results.by_culture(question)) > 1:
        yield _cultures(results, question)
    if any(a.question == question and (a.pairs or a.within) for a in results.metric_agreement):
        yield _metrics(results, question)


def _systems(results: SurveyResults, question: str, narrow: bool) -> TextTable:
    table = results.table(question)
    tests = {test.system: test for test in results.tests if test.question == question}
    first = [] if narrow else ["ranked first"]
    columns = ["system", "mean rank", "worth", *first, "best", f"beats {results.against}", "p, Holm"]
    rows = []
    for result in table.results:
        p_holm = tests[result.system].p_holm if result.system in tests else None
        rows.append(
            [
                result.system,
                number(result.mean_rank),
                _cell(result.worth, signed),
                *([] if narrow else [_cell(result.first)]),
                number(result.best),
                _cell(result.wins),
                "primary" if results.is_primary(question, result.system) else p_value(p_holm),
            ]
        )
    if not rows:
        rows = [[too_few(table.raters), *[""] * (len(columns) - 1)]]
    return TextTable(f"{question_title(question)}: {table_summary(table)}", columns, rows)


def _cultures(results: SurveyResults, question: str) -> TextTable:
    rows = []
    for table in results.by_culture(question):
        ranks = {result.system: number(result.mean_rank) for result in table.results}
        cells = [ranks.get(system, NONE) for system in results.systems]
        size = str(table.raters) if ranks else too_few(table.raters)
        rows.append([table.culture, size, *cells, agreement(table)])
    columns = ["culture", "raters", *results.systems, "α"]
    return TextTable(f"{question_title(question)}: mean ranks by culture", columns, rows)


def _metrics(results: SurveyResults, question: str) -> TextTable:
    rows = [
        [METRICS[a.metric].short, _cell(a.pairs), _cell(a.within, signed), _cell(a.overall, signed)]
        for a in results.metric_agreement
        if a.question == question and (a.pairs or a.within)
    ]
    columns = ["metric", "agrees on pairs", "ρ within cultures", "ρ over all"]
    return TextTable(f"Metrics compared with people: {question_title(question).lower()}", columns, rows)


def _cell(estimate: IntervalEstimate | None, write: Callable[[float], str] = number) -> str:
    if estimate is None:
        return NONE
    ends = f" [{number(estimate.low)}, {number(estimate.high)}]" if estimate.has_interval else ""
    return write(estimate.value) + ends
