"""What stands in the report's tables and plots, apart from how it looks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from results.study_maker import Maker
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.results import formats, study
from scoft_hpc.results.findings import Findings, findings
from scoft_hpc.results.report import provenance, tables
from scoft_hpc.results.report.forest import MARGIN, forest
from scoft_hpc.results.report.heatmap import heatmaps
from scoft_hpc.results.statistics import Estimate


@pytest.fixture(scope="module")
def study_findings(finished: Maker) -> Findings:
    return findings(study.read(finished.folder))


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ([0.2, 0.9], 2),
        ([0.75, 0.744], 3),  # CLIPScore: near each other
        ([0.042, 0.01], 3),
        ([0.0042], 4),
        ([85.5, 67.6], 1),
        ([250.0, 120.0], 0),
        ([], 2),
    ],
)
def test_decimals_tell_values_apart(values: list[float], digits: int) -> None:
    assert formats.decimals(values) == digits


def test_numbers_as_they_are_written() -> None:
    assert [formats.number(x) for x in (None, 0.617, 1.0, -0.07, -0.001)] == [
        "–",
        ".62",
        "1.00",
        "−.07",
        ".00",
    ]
    assert formats.number(1234.5, 1) == "1,234.5"
    assert [formats.signed(x, 3) for x in (0.05, -0.05, 0.0001)] == ["+.050", "−.050", ".000"]
    assert [formats.p_value(p) for p in (None, 0.0004, 0.012, 1.0)] == ["–", "< .001", ".012", "1.000"]
    assert formats.listed(["a", "b", "c"]) == "a, b and c"
    assert formats.moment("2026-11-22T16:00:00+00:00") == "2026-11-22, 16:00 UTC"
    nothing = Estimate(0.5, -math.inf, math.inf, 1, 1, 1)
    assert formats.interval(nothing) == ""
    assert formats.interval(replace(nothing, low=0.1, high=0.9)) == ".10 to .90"


def test_every_measure_stands_once_in_a_group(study_findings: Findings) -> None:
    groups = tables.groups(study_findings)
    assert [line.measure.name for group in groups for line in group.lines] == list(METRICS)
    assert len({group.title for group in groups}) == len(groups) == 5


def test_cells_say_what_is_best_and_what_does_not_hold(study_findings: Findings) -> None:
    lines = {line.measure.name: line for group in tables.groups(study_findings) for line in group.lines}
    for name, line in lines.items():
        assert [cell.variant for cell in line.cells] == study_findings.variants
        for cell in line.cells:
            finding = study_findings.of(cell.variant, name)
            assert cell.best == finding.best
            assert (cell.differs is False) == (
                "base" in finding.against and not finding.against["base"].holds
            )
    assert lines["default_style"].cells[0].differs is None  # the reference itself is never grey
    assert not any(cell.best for cell in lines["diversity"].cells)
    assert lines["default_style"].cells[-1].level is not None


def test_lines_say_what_they_rest_on(study_findings: Findings) -> None:
    lines = {line.measure.name: line for group in tables.groups(study_findings) for line in group.lines}
    assert lines["in_style"].size == "6 samples a run"
    assert lines["kid"].size == "6 samples a run, compared with 28 images"
    assert lines["fid"].warnings == ["FID of 6 images is biased beyond use."]
    assert lines["kid"].warnings == []


def test_differences_from_each_reference(study_findings: Findings) -> None:
    assert study_findings.references == ["base", "ldm"]
    for reference in study_findings.references:
        blocks = tables.differences(study_findings, reference)
        assert blocks[0].measure.name == "default_style"
        for block in blocks:
            assert reference not in [row.variant for row in block.rows]
            for row in block.rows:
                assert row.comparison is study_findings.of(row.variant, block.measure.name).against[reference]
                assert row.needed


def test_a_forest_keeps_every_mean_inside_and_says_where_it_is_cut(study_findings: Findings) -> None:
    for measure in study_findings.measures:
        drawn = forest(study_findings, measure, "base")
        assert drawn is not None
        assert [band.variant for band in drawn.bands] == study_findings.variants[1:]
        at = {value: x for x, value in drawn.ticks}
        assert sorted(at.values()) == [at[value] for value in sorted(at)]
        for band in drawn.bands:
            assert [mark.colour for mark in band.cultures] == [0, 1]
            for mark in (band.pooled, *band.cultures):
                assert MARGIN <= mark.low <= mark.x <= mark.high <= 100 - MARGIN
                assert mark.cut[0] <= (mark.low == MARGIN)
            difference = band.comparison.difference
            assert (band.pooled.x > drawn.zero) == (difference.value > 0) or band.pooled.x == drawn.zero
            if not any(band.pooled.cut) and difference.half is not None:
                assert (drawn.zero < band.pooled.low or drawn.zero > band.pooled.high) == (
                    difference.low > 0 or difference.high < 0
                )


def test_a_forest_of_a_study_without_a_second_variant(make: Any) -> None:
    maker = make(variants=("base",)).finish()
    consistency_summary = findings(study.read(maker.folder))
    assert all(
        forest(consistency_summary, measure, "base") is None for measure in consistency_summary.measures
    )


def test_heat_is_darker_the_better(study_findings: Findings) -> None:
    drawn = {heat.measure.name: heat for heat in heatmaps(study_findings)}
    assert set(drawn) == {m.name for m in study_findings.measures if m.direction != "undirected"}
    for culture, cells in drawn["default_style"].lines:
        for variant, cell in zip(study_findings.variants, cells, strict=True):
            level = study_findings.by_culture(culture, variant, "default_style")
            assert cell is not None
            assert level is not None
            assert cell == (level.value, pytest.approx(1 - level.value))
    kid = [cell for _, cells in drawn["kid"].lines for cell in cells if cell is not None]
    assert min(kid)[1] == 1.0
    assert max(kid)[1] == 0.0
    for value, good in (
        cell for _, cells in drawn["memorization"].lines for cell in cells if cell is not None
    ):
        assert good == pytest.approx(1 - 2 * abs(value - 0.5))


def test_code_that_is_in_no_commit_is_told(copied: Maker) -> None:
    for config, dirty in zip(copied.configs, [True, True, *[False] * 18], strict=True):
        path = copied.run(config).provenance
        path.write_text(json.dumps({**json.loads(path.read_text()), "dirty": dirty}))
    read = study.read(copied.folder)
    assert (
        provenance.changed_code(read) == "2 of 20 runs were made by code with changes that are in no commit."
    )
    code = dict(dict(provenance.provenance_groups(read))["Code"])
    assert code == {
        "scoft-hpc": "0.1.0",
        "commit": "0123456789ab",
        "working tree": "changed since that commit and as in that commit, by run",
    }


def test_what_made_the_study_is_told(finished: Maker) -> None:
    groups = {
        title: dict(entries) for title, entries in provenance.provenance_groups(study.read(finished.folder))
    }
    assert list(groups) == [
        "Code",
        "Machines",
        "Versions",
        "Data, by its content",
        "Networks, by their content",
    ]
    assert groups["Machines"] == {"host": "somewhere", "device": "cpu"}
    assert groups["Versions"]["torch"] == "2.13.0"
    assert groups["Data, by its content"] == dict.fromkeys(("korea", "mexico"), "d" * 16)
    assert groups["Networks, by their content"] == {
        "base model": "m" * 16,
        "scores: features": "toy " + "n" * 16,
        "scores: clip": "toy " + "n" * 16,
    }
