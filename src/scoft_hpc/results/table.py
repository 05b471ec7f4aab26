"""The results table: a row a planned run, as CSV and for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from scoft_hpc.config.metrics import METRICS, MetricSpec
from scoft_hpc.results.findings import Findings, VariantResult
from scoft_hpc.results.formats import number
from scoft_hpc.results.study import Study
from scoft_hpc.study.atomic import replace, write_text

if TYPE_CHECKING:
    from rich.table import Table

WIDTH = 80
"""Of a terminal."""
STATUS_STYLE = {"done": "green", "failed": "bold red", "lost": "red", "running": "cyan"}


@dataclass(frozen=True)
class RunRow:
    """One line of results.csv.

    Attributes:
        metrics: metric name -> the run's value, for every metric; None where the run has none, or none yet.
    """

    study: str
    culture: str
    variant: str
    seed: int
    run_id: str
    status: str
    seconds: float | None
    metrics: Mapping[str, float | None]

    def cells(self) -> dict[str, str | int | float | None]:
        """Column -> value, in the order of `columns`."""
        return {**{name: getattr(self, name) for name in RUN_COLUMNS}, **self.metrics}


RUN_COLUMNS = tuple(field.name for field in fields(RunRow) if field.name != "metrics")


def columns() -> list[str]:
    """The columns of results.csv: what a run is, then every metric."""
    return [*RUN_COLUMNS, *METRICS]


def rows(study: Study) -> list[RunRow]:
    """Every planned run, finished or not, in the plan's order."""
    return [
        RunRow(
            study=study.name,
            culture=run.culture,
            variant=run.variant,
            seed=run.seed,
            run_id=run.run_id,
            status=run.status.value,
            seconds=run.seconds,
            metrics={name: run.metric(name) for name in METRICS},
        )
        for run in study.runs
    ]


def write_csv(path: Path, table: Sequence[RunRow]) -> None:
    """Numbers in full precision; None is an empty field."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(row.cells() for row in table)
    write_text(path, text.getvalue())


def write_parquet(path: Path, table: Sequence[RunRow]) -> None:
    """The rows of results.csv with their types: strings, integers and doubles; None is null."""
    import pyarrow
    from pyarrow import parquet

    types = dict.fromkeys(RUN_COLUMNS, pyarrow.string())
    types |= {"seed": pyarrow.int64(), "seconds": pyarrow.float64()}
    schema = pyarrow.schema([(name, types.get(name, pyarrow.float64())) for name in columns()])
    content = pyarrow.Table.from_pylist([row.cells() for row in table], schema=schema)
    with replace(path) as temporary:
        parquet.write_table(content, temporary)


def run_table(table: Sequence[RunRow]) -> Table:
    """One line per run, with as many of the headline metrics as fit 80 columns."""
    from rich.markup import escape

    names = [max((len(str(getattr(row, n))) for row in table), default=0) for n in ("culture", "variant")]
    shown: list[MetricSpec] = []
    remaining = WIDTH - sum(max(7, name) + 2 for name in names) - len("seed  running  1234.5")
    for spec in headline_metrics():
        remaining -= max(len(spec.short), 4) + 2
        if remaining >= 0 and any(row.metrics[spec.name] is not None for row in table):
            shown.append(spec)
    lines = _table(
        "Runs", "culture", "variant", "seed", "status", "sec", *(spec.short for spec in shown), left=2
    )
    lines.columns[3].justify = "left"
    for before, row in zip([None, *table], table, strict=False):
        new = before is None or before.culture != row.culture
        if new and before is not None:
            lines.add_section()
        lines.add_row(
            escape(row.culture) if new else "",
            escape(row.variant),
            str(row.seed),
            f"[{STATUS_STYLE.get(row.status, 'dim')}]{row.status}[/]",
            "–" if row.seconds is None else f"{row.seconds:.1f}",
            *(number(row.metrics[spec.name]) for spec in shown),
        )
    return lines


def headline_metrics() -> list[MetricSpec]:
    """The metrics that are shown for every run, the most important first."""
    places = {spec.name: spec.headline for spec in METRICS.values() if spec.headline is not None}
    return [METRICS[name] for name in sorted(places, key=places.__getitem__)]


def summary_tables(findings: Findings) -> list[Table]:
    """A line a measure, a column a variant: means over cultures and seeds; several tables where one is too wide.

    A star is the best of its line; a dagger differs from the first reference after Holm's correction, and what does
    not is dim.
    """
    from rich.markup import escape

    if not findings.measures:
        return []
    cells = {
        (variant, m.name): _cell(findings.of(variant, m.name), findings.digits(m.name))
        for variant in findings.variants
        for m in findings.measures
    }
    heads = [f"{m.short} {m.arrow}".rstrip() for m in findings.measures]
    widths = {
        v: max(len(v), *(len(text) for (variant, _), (text, _) in cells.items() if variant == v)) + 1
        for v in findings.variants
    }
    tables: list[Table] = []
    for variants in _fitting(widths, WIDTH - max(map(len, heads)) - 1):
        title = f"Means ± half of the 95 % interval; * best, † differs from {findings.references[0]}"
        lines = _table("" if tables else title, "", *(escape(v) for v in variants), left=1, space=0)
        lines.add_row("runs done", *("{}/{}  ".format(*findings.study.count_done(v)) for v in variants))
        lines.add_section()
        for head, before, measure in zip(heads, [None, *findings.measures], findings.measures, strict=False):
            if before is not None and before.group != measure.group:
                lines.add_section()
            styled = (cells[variant, measure.name] for variant in variants)
            lines.add_row(head, *(f"[{style}]{text}[/]" if style else text for text, style in styled))
        tables.append(lines)
    return tables


def _cell(finding: VariantResult, digits: int) -> tuple[str, str]:
    """A mean with its marks, and its style."""
    if finding.level is None:
        return "–", ""
    half = "" if finding.level.half is None else f" ±{number(finding.level.half, digits)}"
    marks = ("*" if finding.best else " ") + ("†" if finding.differs else " ")
    style = ("bold " if finding.best else "") + ("dim" if finding.differs is False else "")
    return number(finding.level.value, digits) + half + marks, style.strip()


def _fitting(widths: Mapping[str, int], available: int) -> list[list[str]]:
    """The names in blocks that fit; one at least in each."""
    blocks: list[list[str]] = []
    for name, width in widths.items():
        if not blocks or sum(widths[other] for other in blocks[-1]) + width > available:
            blocks.append([])
        blocks[-1].append(name)
    return blocks


def bias_tables(study: Study) -> list[Table]:
    """A line a culture: `default style / in style` of each variant; none where that truth is not known."""
    from rich.markup import escape

    shares = {
        (culture, variant): " / ".join(
            number(_average([run.metric(name) for run in study.of(culture=culture, variant=variant)]))
            for name in ("default_style", "in_style")
        )
        for culture in study.cultures
        for variant in study.variants
    }
    if all("–" in share for share in shares.values()):
        return []
    tables: list[Table] = []
    available = WIDTH - max(map(len, study.cultures)) - 2
    for variants in _fitting({v: max(len(v), len(".00 / .00")) + 2 for v in study.variants}, available):
        title = "" if tables else "Default style / in style, by culture"
        lines = _table(title, "culture", *map(escape, variants), left=1)
        for culture in study.cultures:
            lines.add_row(escape(culture), *(shares[culture, variant] for variant in variants))
        tables.append(lines)
    return tables


def _average(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present else None


def _table(title: str, *columns: str, left: int, space: int = 1) -> Table:
    """Columns to the left for names, to the right for numbers, with one `space` and one more between them."""
    from rich import box
    from rich.table import Table

    lines = Table(
        title=title,
        title_style="bold",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, space, 0, 0),
        header_style="dim",
    )
    for i, column in enumerate(columns):
        lines.add_column(column, justify="left" if i < left else "right", no_wrap=True)
    return lines
