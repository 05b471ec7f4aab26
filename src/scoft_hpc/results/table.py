"""The results table: a row a planned run, as CSV and for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from scoft_hpc.results.measures import MEASURES
from scoft_hpc.results.statistics import Estimate, level
from scoft_hpc.results.study import Study
from scoft_hpc.runs.atomic import write_text

if TYPE_CHECKING:
    from rich.table import Table

STATUS_STYLE = {"done": "green", "failed": "bold red", "lost": "red", "running": "cyan"}


@dataclass(frozen=True)
class Row:
    """One line of results.csv; a measure that the run does not have, or not yet, is None."""

    study: str
    culture: str
    variant: str
    seed: int
    run_id: str
    status: str
    seconds: float | None
    default_style: float | None
    in_style: float | None
    subject: float | None
    clip_score: float | None
    kid: float | None
    cmmd: float | None
    fid: float | None
    base_distance: float | None
    memorization: float | None
    copies: float | None
    diversity: float | None
    vendi: float | None
    neutral_kid: float | None
    neutral_clip_score: float | None


def rows(study: Study) -> list[Row]:
    """Every planned run, finished or not, in the plan's order."""
    return [
        Row(
            study=study.name,
            culture=run.culture,
            variant=run.variant,
            seed=run.seed,
            run_id=run.run_id,
            status=run.status.value,
            seconds=run.seconds,
            **{name: run.metric(name) for name in MEASURES},
        )
        for run in study.runs
    ]


def write_csv(path: Path, table: Sequence[Row]) -> None:
    """Numbers in full precision; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in table)
    write_text(path, text.getvalue())


def run_table(table: Sequence[Row]) -> Table:
    """A line a run, at most 80 columns wide."""
    from rich.markup import escape

    measured = [m for m in MEASURES.values() if any(getattr(row, m.name) is not None for row in table)]
    lines = _table(
        "Runs", "culture", "variant", "seed", "status", "sec", *(m.short for m in measured), left=2
    )
    lines.columns[3].justify = "left"
    for before, row in zip([None, *table], table, strict=False):
        new = before is None or before.culture != row.culture
        if new and before is not None:
            lines.add_section()
        lines.add_row(
            escape(row.culture) if new else "",
            row.variant,
            str(row.seed),
            f"[{STATUS_STYLE.get(row.status, 'dim')}]{row.status}[/]",
            "–" if row.seconds is None else f"{row.seconds:.1f}",
            *(number(getattr(row, m.name)) for m in measured),
        )
    return lines


def summary_table(study: Study) -> Table:
    """A line a variant: each measure's mean over cultures and seeds, ± half of its 95 % interval."""
    measured = [m for m in MEASURES.values() if any(run.metric(m.name) is not None for run in study.runs)]
    heads = (f"{m.short} {m.arrow}".strip() for m in measured)
    lines = _table(
        "Variants, over cultures and seeds (± half of the 95 % interval)", "variant", "done", *heads, left=1
    )
    for variant in study.variants:
        runs = list(study.of(variant=variant))
        cells = []
        for measure in measured:
            estimate = level(study, measure, variant)
            cells.append("–" if estimate is None else _plus_minus(estimate))
        done = sum(run.status.value == "done" for run in runs)
        lines.add_row(variant, f"{done}/{len(runs)}", *cells)
    return lines


def bias_table(study: Study) -> Table | None:
    """A line a culture: `default style / in style` of each variant; None where that truth is not known."""
    from rich.markup import escape

    lines = _table("Default style / in style, by culture", "culture", *study.variants, left=1)
    known = False
    for culture in study.cultures:
        cells = []
        for variant in study.variants:
            runs = list(study.of(culture=culture, variant=variant))
            pair = [_average([run.metric(name) for run in runs]) for name in ("default_style", "in_style")]
            known = known or None not in pair
            cells.append(" / ".join(number(value) for value in pair))
        lines.add_row(escape(culture), *cells)
    return lines if known else None


def number(value: float | None) -> str:
    """Two decimals without the leading zero: .62, 1.00, –.07."""
    if value is None:
        return "–"
    text = f"{abs(value):.2f}"
    text = text[1:] if text.startswith("0.") else text
    return f"−{text}" if value < 0 and text != ".00" else text


def _plus_minus(estimate: Estimate) -> str:
    return number(estimate.value) + ("" if estimate.half is None else f" ±{number(estimate.half)}")


def _average(found: Sequence[float | None]) -> float | None:
    present = [value for value in found if value is not None]
    return sum(present) / len(present) if present else None


def _table(title: str, *columns: str, left: int) -> Table:
    """Columns to the left for names, to the right for numbers."""
    from rich import box
    from rich.table import Table

    lines = Table(
        title=title,
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
        header_style="dim",
    )
    for i, column in enumerate(columns):
        lines.add_column(column, justify="left" if i < left else "right", no_wrap=True)
    return lines
