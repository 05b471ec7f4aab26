"""The report's section on the survey: tables, and violin plots of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoft_hpc.config.metrics import METRICS, MetricSpec
from scoft_hpc.results import formats
from scoft_hpc.results.report import curves_svg
from scoft_hpc.results.survey_results import (
    IntervalEstimate,
    MetricAgreement,
    SurveyResults,
    SystemResult,
    Table,
    interval,
)
from scoft_hpc.results.survey_text import question_title, table_summary

MAX_HALF_WIDTH = 0.42
"""Half of the widest violin; systems are 1 apart."""
SMOOTHING_SD = 0.4
"""Standard deviation, in ranks, of a violin's kernel."""


@dataclass(frozen=True)
class SystemsRow:
    """One number of each system; `cells`: (system, text, interval, is best, no difference shown)."""

    title: str
    meaning: str
    cells: list[tuple[str, str, str, bool, bool]]


@dataclass(frozen=True)
class QuestionSection:
    """`plot` is None without results; `heatmap`: each culture's table and its cells (mean rank, goodness)."""

    name: str
    title: str
    summary: str
    rows: list[SystemsRow]
    plot: str | None
    heatmap: list[tuple[Table, list[tuple[float, float] | None]]]


@dataclass(frozen=True)
class SurveySection:
    """`key`: colour index and name of each system; `metrics`: one `MetricAgreement` or None per question."""

    results: SurveyResults
    questions: list[QuestionSection]
    key: list[tuple[int, str]]
    metrics: list[tuple[MetricSpec, list[MetricAgreement | None]]]


def survey_section(results: SurveyResults, variants: Sequence[str]) -> SurveySection:
    """The section; systems have the colours of the study's `variants`."""
    colours = {s: variants.index(s) if s in variants else i for i, s in enumerate(results.systems)}
    by_metric = {(m.metric, m.question): m for m in results.metric_agreement if m.pairs or m.within}
    return SurveySection(
        results,
        [_question(results, question, colours) for question in results.questions],
        [(colours[system], system) for system in results.systems],
        [
            (spec, [by_metric.get((name, question)) for question in results.questions])
            for name, spec in METRICS.items()
            if any(metric == name for metric, _ in by_metric)
        ],
    )


def _question(results: SurveyResults, question: str, colours: dict[str, int]) -> QuestionSection:
    pooled, cultures = results.table(question), results.by_culture(question)
    worst = len(results.systems)
    heatmap = []
    for table in cultures:
        ranks = {result.system: result.mean_rank for result in table.results}
        cells = [
            (ranks[s], (worst - ranks[s]) / (worst - 1)) if s in ranks else None for s in results.systems
        ]
        heatmap.append((table, cells))
    several = len(cultures) > 1
    plotted = [table for table in ((pooled, *cultures) if several else (pooled,)) if table.results]
    return QuestionSection(
        question,
        question_title(question),
        table_summary(pooled),
        _rows(results, pooled) if pooled.results else [],
        violins(question, plotted, results.systems, colours) if plotted else None,
        heatmap if several else [],
    )


def _rows(results: SurveyResults, table: Table) -> list[SystemsRow]:
    by_system = {result.system: result for result in table.results}
    top = max(result.worth.value for result in table.results)
    significant = {t.system for t in results.tests if t.question == table.question and t.is_significant}
    primary = results.primary.test
    if primary.p is not None and primary.p <= results.primary.alpha:
        significant |= {s for s in results.systems if results.is_primary(table.question, s)}

    def row(title: str, meaning: str, attribute: str, mark_best: bool = False) -> SystemsRow:
        cells = []
        for system in results.systems:
            result = by_system.get(system)
            text, ends = (formats.NONE, "") if result is None else _cell(result, attribute)
            best = mark_best and result is not None and result.worth.value == top and len(by_system) > 1
            no_difference = result is not None and system != results.against and system not in significant
            cells.append((system, text, ends, best, no_difference))
        return SystemsRow(title, meaning, cells)

    rows = [
        row("Mean rank", "1 is the best", "mean_rank"),
        row("Worth", "Plackett–Luce, centred at 0", "worth", mark_best=True),
        row("Ranked first", "by a rater who sees all systems", "first"),
        row(f"Beats {results.against}", "a tie is half", "wins"),
        row("Best of all", "share of resampled surveys", "best"),
    ]
    if any(result.rating is not None for result in table.results):
        rows.append(row("Rating", "1 to 5", "rating"))
    return rows


def _cell(result: SystemResult, attribute: str) -> tuple[str, str]:
    value = getattr(result, attribute)
    if not isinstance(value, IntervalEstimate):
        return formats.number(value), ""
    write = formats.signed if attribute == "worth" else formats.number
    return write(value.value), interval(value)


def violins(question: str, tables: Sequence[Table], systems: Sequence[str], colours: dict[str, int]) -> str:
    """Distributions of ranks: one row per culture, one violin per system with a dot at its mean; rank 1 on top."""
    worst, name = len(systems), f"v-{question}"
    step = worst + 1.5
    grid = np.linspace(0.6, worst + 0.4, 40)
    with curves_svg.plane(name, 0.62 + 1.0 * len(tables)) as (figure, axes):
        ticks: list[tuple[float, str]] = []
        for row, table in enumerate(tables):
            offset = row * step
            ticks += [(offset + 1, "1"), (offset + worst, str(worst))]
            axes.text(
                -0.62, offset + 0.15, table.culture or "all", color=curves_svg.INK, fontsize=9, va="bottom"
            )
            for result in table.results:
                x, colour = (
                    list(systems).index(result.system),
                    f"#0002{colours[result.system] % curves_svg.COLOURS:02x}",
                )
                width = _density(result.rank_shares, grid)
                width *= MAX_HALF_WIDTH / width.max()
                axes.fill_betweenx(offset + grid, x - width, x + width, color=colour, alpha=0.45, linewidth=0)
                axes.plot([x], [offset + result.mean_rank], marker="o", markersize=3.5, color=curves_svg.INK)
        axes.set_yticks([y for y, _ in ticks], [text for _, text in ticks])
        axes.set_xticks(range(worst), systems)
        axes.set_xlim(-0.65, worst - 0.35)
        axes.set_ylim((len(tables) - 1) * step + worst + 0.6, -0.55)
        return curves_svg.markup(figure, name)


def _density(rank_shares: Sequence[float], grid: np.ndarray) -> np.ndarray:
    """The shares of the mean ranks 1, 1.5, 2, …, smoothed, at each point of `grid`."""
    ranks = 1 + np.arange(len(rank_shares)) / 2
    kernels = np.exp(-0.5 * ((grid[:, None] - ranks) / SMOOTHING_SD) ** 2)
    return np.asarray(kernels @ np.array(rank_shares))
