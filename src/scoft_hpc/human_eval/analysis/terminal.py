"""What people said, for a terminal of 80 columns: the primary comparison first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from scoft_hpc.config.metrics import METRICS
from scoft_hpc.results.formats import NONE, number, p_value, signed
from scoft_hpc.results.report import survey
from scoft_hpc.results.survey_labels import question_title, too_few
from scoft_hpc.results.survey_results import IntervalEstimate, SurveyResults, Table, interval

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as Lines


LEGEND = (
    "Rank 1 is the best; worth: Plackett–Luce’s log odds, centred at 0; best: the share of resampled surveys in which "
    "no system is better; beats {against}: share of comparisons, a tie is half; α: Krippendorff’s, 0 is chance. "
    "Intervals of 95 % speak of other raters, and cultures count alike."
)


def show(console: Console, found: SurveyResults) -> None:
    """Print it all."""
    console.print()
    console.print(found.primary.sentence, markup=False)
    if found.n_excluded:
        console.print(f"With everybody: {found.primary.sentence_without_exclusions}", markup=False)
    console.print()
    console.print(f"{survey.panel_summary(found)} {survey.consistency_summary(found)}".strip(), markup=False)
    for table in questions(found):
        console.print()
        console.print(table)
    console.print()
    console.print(LEGEND.format(against=found.against), markup=False)
    for more in (cultures(found), metrics(found)):
        if more is not None:
            console.print()
            console.print(more)
    console.print()


def questions(found: SurveyResults) -> Iterator[Lines]:
    """A table a question, of all cultures together."""
    for question in found.questions:
        table = found.table(question)
        name = f"{question_title(question)}: {_size(table)}"
        lines = _lines(
            name, "system", "mean rank", "worth", "", "best", f"beats {found.against}", "", "p, Holm"
        )
        tests = {one.system: one for one in found.tests if one.question == question}
        for one in table.results:
            test = tests.get(one.system)
            apart = one.system == found.primary.test.system and question == found.primary.test.question
            lines.add_row(
                one.system,
                number(one.rank),
                signed(one.worth.value),
                interval(one.worth),
                number(one.best),
                NONE if one.wins is None else number(one.wins.value),
                "" if one.wins is None else interval(one.wins),
                "primary" if apart and test is None else p_value(test.corrected if test else None),
            )
        if not table.results:
            lines.add_row(too_few(table.raters))
        yield lines


def cultures(found: SurveyResults) -> Lines | None:
    """Mean ranks of the primary question by culture."""
    question = found.primary.test.question
    if len(found.of(question)) < 2:
        return None
    lines = _lines(
        f"{question_title(question)}: mean ranks by culture", "culture", "raters", *found.systems, "α"
    )
    for table in found.of(question):
        ranks = {one.system: number(one.rank) for one in table.results}
        cells = [ranks.get(s, NONE) for s in found.systems] if ranks else [NONE] * len(found.systems)
        lines.add_row(table.culture, str(table.raters), *cells, _alpha(table.agreement))
    return lines


def metrics(found: SurveyResults) -> Lines | None:
    """Which metric predicts people, of the primary question."""
    question = found.primary.test.question
    told = [one for one in found.metric_agreement if one.question == question and (one.pairs or one.within)]
    if not told:
        return None
    name = f"Metrics beside people: {question_title(question).lower()}"
    lines = _lines(name, "metric", "agrees on pairs", "", "ρ within cultures", "", "ρ over all")
    for one in told:
        lines.add_row(
            METRICS[one.metric].short,
            number(one.pairs.value if one.pairs else None),
            interval(one.pairs) if one.pairs else "",
            NONE if one.within is None else signed(one.within.value),
            interval(one.within) if one.within else "",
            NONE if one.overall is None else signed(one.overall.value),
        )
    return lines


def _size(table: Table) -> str:
    return f"{table.raters} raters, {table.rankings} rankings, α {_alpha(table.agreement)}"


def _alpha(found: IntervalEstimate | None) -> str:
    if found is None:
        return NONE
    return number(found.value) + (f" ({interval(found)})" if found.has_interval else "")


def _lines(name: str, *columns: str) -> Lines:
    from rich import box
    from rich.table import Table as Lines

    lines = Lines(
        title=name,
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        header_style="dim",
    )
    for i, column in enumerate(columns):
        lines.add_column(column, justify="left" if i == 0 else "right", no_wrap=i > 0 and column == "")
    return lines
