"""The report's chapter of what people say: tables, and violins of the ranks they gave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scoft_hpc.config.metrics import METRICS, MetricSpec
from scoft_hpc.results import formats, people, wording
from scoft_hpc.results.people import People, Standing, Table, Tracked
from scoft_hpc.results.report import svg

WIDE = 0.42
"""Half of the widest violin, where two systems are 1 apart."""
BLUR = 0.4
"""Standard deviation, in ranks, by which a violin smooths them."""


@dataclass(frozen=True)
class Line:
    """A number of every system; `cells` hold (system, text, text below, best, no difference shown)."""

    title: str
    meaning: str
    cells: list[tuple[str, str, str, bool, bool]]


@dataclass(frozen=True)
class Question:
    """`plot` is None where nobody is told of; `heat` has a line a culture: its table and (mean rank, goodness)."""

    name: str
    title: str
    size: str
    lines: list[Line]
    plot: str | None
    heat: list[tuple[Table, list[tuple[float, float] | None]]]


@dataclass(frozen=True)
class Voices:
    """`key` names the systems with the places of their colours; `metrics` have a `Tracked` a question, or None."""

    people: People
    crowd: str
    alone: str
    questions: list[Question]
    key: list[tuple[int, str]]
    metrics: list[tuple[MetricSpec, list[Tracked | None]]]


def voices(found: People, variants: Sequence[str]) -> Voices:
    """The chapter; `variants` are the study's, whose colours systems have."""
    colours = {s: variants.index(s) if s in variants else i for i, s in enumerate(found.systems)}
    by_metric = {(one.metric, one.question): one for one in found.tracked if one.pairs or one.within}
    return Voices(
        found,
        crowd(found),
        alone(found),
        [_question(found, question, colours) for question in found.questions],
        [(colours[system], system) for system in found.systems],
        [
            (measure, [by_metric.get((name, question)) for question in found.questions])
            for name, measure in METRICS.items()
            if any(metric == name for metric, _ in by_metric)
        ],
    )


def crowd(found: People) -> str:
    """How many answered, and who was left out by which rule."""
    where = formats.listed(f"{one.culture} {one.raters}" for one in found.crowds)
    text = f"{wording.raters(found.raters)} ({where}); {found.analysed} analysed."
    if found.out:
        reasons = formats.listed(
            f"{count} {wording.RULES.get(rule, rule)}" for rule, count in found.excluded.items()
        )
        rules = "rules fixed beforehand" if found.fixed else "the survey file’s rules"
        text += f" {found.out} left out by {rules}: {reasons}."
    return text


def alone(found: People) -> str:
    """How raters agree with themselves; empty where no page came again."""
    if not found.consistency:
        return ""
    low, middle, high = (formats.number(q) for q in found.consistency)
    return (
        f"Shown a page again, raters rank it as before by Kendall’s τ {middle}, half of them from {low} to {high} "
        f"(1: alike, 0: chance)."
    )


def agreement(table: Table) -> str:
    """Krippendorff's α in words."""
    if table.agreement is None:
        return "α –"
    words = people.interval(table.agreement)
    return f"α {formats.number(table.agreement.value)}" + (f" ({words})" if words else "")


def _question(found: People, question: str, colours: dict[str, int]) -> Question:
    pooled, cultures = found.table(question), found.of(question)
    worst = len(found.systems)
    heat = []
    for table in cultures:
        ranks = {one.system: one.rank for one in table.standings}
        cells = [(ranks[s], (worst - ranks[s]) / (worst - 1)) if s in ranks else None for s in found.systems]
        heat.append((table, cells))
    shown = (pooled, *cultures) if len(cultures) > 1 else (pooled,)
    told = [table for table in shown if table.standings]
    unable = f", {pooled.unable} times “cannot judge”" if pooled.unable else ""
    return Question(
        question,
        wording.title(question),
        f"{wording.raters(pooled.raters)}, {pooled.rankings:,} rankings{unable}; {agreement(pooled)}",
        _lines(found, pooled) if pooled.standings else [],
        violins(question, told, found.systems, colours) if told else None,
        heat if len(cultures) > 1 else [],
    )


def _lines(found: People, table: Table) -> list[Line]:
    standings = {one.system: one for one in table.standings}
    top = max(one.worth.value for one in table.standings)
    tests = {one.system: one for one in found.tests if one.question == table.question}
    primary = found.primary.test
    main = primary.system if (table.question, found.against) == (primary.question, primary.against) else None

    def line(title: str, meaning: str, cell: str, mark: bool = False) -> Line:
        cells = []
        for system in found.systems:
            one = standings.get(system)
            text, below = (formats.NONE, "") if one is None else _cell(one, cell)
            best = mark and one is not None and one.worth.value == top and len(standings) > 1
            shown = (
                system == found.against
                or (system in tests and tests[system].holds)
                or (system == main and primary.p is not None and primary.p <= found.primary.alpha)
            )
            cells.append((system, text, below, best, one is not None and not shown))
        return Line(title, meaning, cells)

    lines = [
        line("Mean rank", "1 is the best", "rank"),
        line("Worth", "Plackett–Luce, centred at 0", "worth", mark=True),
        line("Put first", "by a rater who sees them all", "first"),
        line(f"Beats {found.against}", "a tie is half", "wins"),
        line("The best of all", "share of resampled surveys", "best"),
    ]
    if any(one.rating is not None for one in table.standings):
        lines.append(line("Rating", "1 to 5", "rating"))
    return lines


def _cell(one: Standing, what: str) -> tuple[str, str]:
    value = getattr(one, what)
    if not isinstance(value, people.Number):
        return formats.number(value), ""
    write = formats.signed if what == "worth" else formats.number
    return write(value.value), people.interval(value)


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
            for one in table.standings:
                x, colour = list(systems).index(one.system), f"#0002{colours[one.system] % svg.COLOURS:02x}"
                width = _density(one, grid)
                width *= WIDE / width.max()
                axes.fill_betweenx(offset + grid, x - width, x + width, color=colour, alpha=0.45, linewidth=0)
                axes.plot([x], [offset + one.rank], marker="o", markersize=3.5, color=svg.INK)
        axes.set_yticks([y for y, _ in ticks], [text for _, text in ticks])
        axes.set_xticks(range(worst), systems)
        axes.set_xlim(-0.65, worst - 0.35)
        axes.set_ylim((len(tables) - 1) * step + worst + 0.6, -0.55)
        return svg.markup(figure, name)


def _density(one: Standing, grid: np.ndarray) -> np.ndarray:
    """The shares of mean ranks, blurred, over `grid`."""
    return sum(
        (share * np.exp(-0.5 * ((grid - rank) / BLUR) ** 2) for rank, share in people.spread(one.shares)),
        np.zeros_like(grid),
    )
