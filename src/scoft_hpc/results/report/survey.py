"""The report's chapter of what people say: tables, and violins of the ranks they gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoft_hpc.config.metrics import METRICS, MetricSpec
from scoft_hpc.results import formats, survey_labels, survey_results
from scoft_hpc.results.report import svg
from scoft_hpc.results.survey_results import MetricAgreement, SurveyResults, SystemResult, Table

MAX_HALF_WIDTH = 0.42
"""Half of the widest violin, where two systems are 1 apart."""
BLUR_RANKS = 0.4
"""Standard deviation, in ranks, by which a violin smooths them."""


@dataclass(frozen=True)
class SurveyRow:
    """A number of every system; `cells` hold (system, text, text below, best, no difference shown)."""

    title: str
    meaning: str
    cells: list[tuple[str, str, str, bool, bool]]


@dataclass(frozen=True)
class QuestionSection:
    """`plot` is None where nobody is told of; `heat` has a line a culture: its table and (mean rank, goodness)."""

    name: str
    title: str
    size: str
    lines: list[SurveyRow]
    plot: str | None
    heat: list[tuple[Table, list[tuple[float, float] | None]]]


@dataclass(frozen=True)
class SurveySection:
    """`key`: colour index and name of each system; `metrics`: one `MetricAgreement` or None per question."""

    results: SurveyResults
    panel_summary: str
    consistency_summary: str
    questions: list[QuestionSection]
    key: list[tuple[int, str]]
    metrics: list[tuple[MetricSpec, list[MetricAgreement | None]]]


def survey_section(found: SurveyResults, variants: Sequence[str]) -> SurveySection:
    """The chapter; `variants` are the study's, whose colours systems have."""
    colours = {s: variants.index(s) if s in variants else i for i, s in enumerate(found.systems)}
    by_metric = {(one.metric, one.question): one for one in found.metric_agreement if one.pairs or one.within}
    return SurveySection(
        found,
        panel_summary(found),
        consistency_summary(found),
        [_question(found, question, colours) for question in found.questions],
        [(colours[system], system) for system in found.systems],
        [
            (measure, [by_metric.get((name, question)) for question in found.questions])
            for name, measure in METRICS.items()
            if any(metric == name for metric, _ in by_metric)
        ],
    )


def panel_summary(found: SurveyResults) -> str:
    """How many answered, and who was left out by which rule."""
    where = formats.listed(f"{one.culture} {one.raters}" for one in found.panels)
    text = f"{survey_labels.raters(found.raters)} ({where}); {found.analysed} analysed."
    if found.n_excluded:
        reasons = formats.listed(
            f"{count} {survey_labels.EXCLUSION_RULES.get(rule, rule)}"
            for rule, count in found.excluded.items()
        )
        rules = "rules fixed beforehand" if found.preregistered else "the survey file’s rules"
        text += f" {found.n_excluded} left out by {rules}: {reasons}."
    return text


def consistency_summary(found: SurveyResults) -> str:
    """How raters agree with themselves; empty where no page came again."""
    if not found.consistency:
        return ""
    low, middle, high = (formats.number(q) for q in found.consistency)
    return (
        f"Shown a page again, raters rank it as before by Kendall’s τ {middle}, half of them from {low} to {high} "
        f"(1: alike, 0: chance)."
    )


def agreement_text(table: Table) -> str:
    """Krippendorff's α in words."""
    if table.agreement is None:
        return "α –"
    words = survey_results.interval(table.agreement)
    return f"α {formats.number(table.agreement.value)}" + (f" ({words})" if words else "")


def _question(found: SurveyResults, question: str, colours: dict[str, int]) -> QuestionSection:
    pooled, cultures = found.table(question), found.of(question)
    worst = len(found.systems)
    heat = []
    for table in cultures:
        ranks = {one.system: one.rank for one in table.results}
        cells = [(ranks[s], (worst - ranks[s]) / (worst - 1)) if s in ranks else None for s in found.systems]
        heat.append((table, cells))
    shown = (pooled, *cultures) if len(cultures) > 1 else (pooled,)
    told = [table for table in shown if table.results]
    unable = f", {pooled.unable} times “cannot judge”" if pooled.unable else ""
    return QuestionSection(
        question,
        survey_labels.question_title(question),
        f"{survey_labels.raters(pooled.raters)}, {pooled.rankings:,} rankings{unable}; {agreement_text(pooled)}",
        _lines(found, pooled) if pooled.results else [],
        violins(question, told, found.systems, colours) if told else None,
        heat if len(cultures) > 1 else [],
    )


def _lines(found: SurveyResults, table: Table) -> list[SurveyRow]:
    results = {one.system: one for one in table.results}
    top = max(one.worth.value for one in table.results)
    tests = {one.system: one for one in found.tests if one.question == table.question}
    primary = found.primary.test
    main = primary.system if (table.question, found.against) == (primary.question, primary.against) else None

    def line(title: str, meaning: str, cell: str, mark: bool = False) -> SurveyRow:
        cells = []
        for system in found.systems:
            one = results.get(system)
            text, below = (formats.NONE, "") if one is None else _cell(one, cell)
            best = mark and one is not None and one.worth.value == top and len(results) > 1
            shown = (
                system == found.against
                or (system in tests and tests[system].holds)
                or (system == main and primary.p is not None and primary.p <= found.primary.alpha)
            )
            cells.append((system, text, below, best, one is not None and not shown))
        return SurveyRow(title, meaning, cells)

    lines = [
        line("Mean rank", "1 is the best", "rank"),
        line("Worth", "Plackett–Luce, centred at 0", "worth", mark=True),
        line("Put first", "by a rater who sees them all", "first"),
        line(f"Beats {found.against}", "a tie is half", "wins"),
        line("The best of all", "share of resampled surveys", "best"),
    ]
    if any(one.rating is not None for one in table.results):
        lines.append(line("Rating", "1 to 5", "rating"))
    return lines


def _cell(one: SystemResult, what: str) -> tuple[str, str]:
    value = getattr(one, what)
    if not isinstance(value, survey_results.IntervalEstimate):
        return formats.number(value), ""
    write = formats.signed if what == "worth" else formats.number
    return write(value.value), survey_results.interval(value)


def violins(question: str, tables: Sequence[Table], systems: Sequence[str], colours: dict[str, int]) -> str:
    """How often each rank was given: a row a culture, a violin a system with a dot at its mean; rank 1 is on top."""
    worst, name = len(systems), f"v-{question}"
    step = worst + 1.5
    grid = np.linspace(0.6, worst + 0.4, 40)
    with svg.plane(name, 0.62 + 1.0 * len(tables)) as (figure, axes):
        ticks: list[tuple[float, str]] = []
        for row, table in enumerate(tables):
            offset = row * step
            ticks += [(offset + 1, "1"), (offset + worst, str(worst))]
            axes.text(-0.62, offset + 0.15, table.culture or "all", color=svg.INK, fontsize=9, va="bottom")
            for one in table.results:
                x, colour = list(systems).index(one.system), f"#0002{colours[one.system] % svg.COLOURS:02x}"
                width = _density(one, grid)
                width *= MAX_HALF_WIDTH / width.max()
                axes.fill_betweenx(offset + grid, x - width, x + width, color=colour, alpha=0.45, linewidth=0)
                axes.plot([x], [offset + one.rank], marker="o", markersize=3.5, color=svg.INK)
        axes.set_yticks([y for y, _ in ticks], [text for _, text in ticks])
        axes.set_xticks(range(worst), systems)
        axes.set_xlim(-0.65, worst - 0.35)
        axes.set_ylim((len(tables) - 1) * step + worst + 0.6, -0.55)
        return svg.markup(figure, name)


def _density(one: SystemResult, grid: np.ndarray) -> np.ndarray:
    """The shares of mean ranks, blurred, over `grid`."""
    return sum(
        (
            share * np.exp(-0.5 * ((grid - rank) / BLUR_RANKS) ** 2)
            for rank, share in survey_results.spread(one.shares)
        ),
        np.zeros_like(grid),
    )
