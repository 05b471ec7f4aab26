"""The report's tables of findings: variants under every measure, and each difference from a reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from scoft_hpc.config.metrics import MetricSpec
from scoft_hpc.results.findings import Findings, VariantResult
from scoft_hpc.results.formats import NONE
from scoft_hpc.results.inference import Comparison
from scoft_hpc.results.study import Study

GROUPS = {
    "truth": "The truth, known in the toy world alone",
    "culture fidelity": "Fidelity to the culture, distance from the base",
    "distance from base": "Fidelity to the culture, distance from the base",
    "memorization": "Memorization and diversity",
    "diversity": "Memorization and diversity",
}
"""Headings that say more than the group's name, or that groups share."""


@dataclass(frozen=True)
class TableRow:
    """A measure of all variants; `size` is what a run's number rests on, `warnings` what its metric warned of."""

    measure: MetricSpec
    digits: int
    size: str
    warnings: list[str]
    cells: list[VariantResult]


@dataclass(frozen=True)
class Group:
    title: str
    lines: list[TableRow]


@dataclass(frozen=True)
class Difference:
    """`needed` says how many seeds or cultures more would show the difference that is worth seeing."""

    variant: str
    comparison: Comparison
    needed: str


@dataclass(frozen=True)
class Block:
    """All variants' differences from a reference under one measure; `worth` is the difference worth seeing."""

    measure: MetricSpec
    digits: int
    worth: float | None
    rows: list[Difference]


def groups(findings: Findings) -> list[Group]:
    """The measures in their groups, each with all variants, greyed against the first reference."""

    def title(measure: MetricSpec) -> str:
        return GROUPS.get(measure.group, measure.group.capitalize())

    return [
        Group(heading, [_line(findings, measure) for measure in measures])
        for heading, measures in groupby(findings.measures, key=title)
    ]


def differences(findings: Findings, reference: str) -> list[Block]:
    """A block a measure; measures under which nothing is compared with the reference are left out."""
    blocks = []
    for measure in findings.measures:
        rows = list(_rows(findings, measure, reference))
        if rows:
            worth = findings.worth(reference, measure.name)
            blocks.append(Block(measure, findings.digits(measure.name), worth, rows))
    return blocks


def _line(findings: Findings, measure: MetricSpec) -> TableRow:
    name = measure.name
    cells = [findings.of(variant, name) for variant in findings.variants]
    size = _size(findings.study, measure)
    return TableRow(measure, findings.digits(name), size, findings.warnings(name), cells)


def _rows(findings: Findings, measure: MetricSpec, reference: str) -> Iterator[Difference]:
    for variant in findings.variants:
        comparison = findings.of(variant, measure.name).against.get(reference)
        if comparison is not None:
            needed = findings.needed(variant, reference, measure.name)
            yield Difference(variant, comparison, NONE if needed is None else needed.text)


def _size(study: Study, measure: MetricSpec) -> str:
    """Such as `24 samples a run, compared with 28 images`."""
    metrics = [m for run in study.runs if (m := run.scores.get("metrics", {}).get(measure.name)) is not None]
    units = {"sample": "samples", "set": "samples", "prompt": "prompts", "neutral": "samples"}[measure.unit]
    parts = [
        f"{_range([m[key] for m in metrics if m.get(key) is not None])} {name}"
        for key, name in (("n", f"{units} a run"), ("references", "images"))
        if any(m.get(key) is not None for m in metrics)
    ]
    return ", compared with ".join(parts)


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
