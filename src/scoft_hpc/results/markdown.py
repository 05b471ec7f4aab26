"""report.md: the report's numbers as GitHub shows them, for a repository, an issue or a colleague."""

from __future__ import annotations

import re
from collections.abc import Iterator

from scoft_hpc.config.metrics import MetricSpec
from scoft_hpc.results import survey_text
from scoft_hpc.results.findings import Findings
from scoft_hpc.results.formats import NONE, bracketed, number, p_value, signed
from scoft_hpc.results.report import tables
from scoft_hpc.results.report.page import template_environment
from scoft_hpc.results.report.provenance import provenance_groups
from scoft_hpc.results.statistics import Estimate
from scoft_hpc.study import costs
from scoft_hpc.study.run_status import Status


def render(findings: Findings) -> str:
    """The report as GitHub-flavoured Markdown; text from the study's files is escaped."""
    environment = template_environment(autoescape=False)
    environment.filters.update(text=_escape, map_text=lambda row: map(_escape, row), metric_name=_name)
    study, survey = findings.study, findings.study.survey_results
    return environment.get_template("report.md.j2").render(
        findings=findings,
        study=study,
        n_done=study.count_done()[0],
        n_samples=sum(len(run.samples) for run in study.runs),
        variants=[_escape(variant) for variant in findings.variants],
        means=[_mean_row(findings, measure) for measure in findings.measures],
        differences={
            reference: list(_difference_rows(findings, reference)) for reference in findings.references
        },
        survey_paragraphs=[] if survey is None else survey_text.paragraphs(survey),
        survey_tables=[] if survey is None else survey_text.tables(survey),
        by_culture=_by_culture(findings) if len(findings.cultures) > 1 else [],
        unfinished=[run for run in study.runs if run.status is not Status.done],
        provenance=provenance_groups(study),
        hours=sum(run.seconds or 0.0 for run in study.runs) / 3600,
        cost=costs.sentence(costs.total(study.costs)) if study.costs else "",
    )


def _mean_row(findings: Findings, measure: MetricSpec) -> list[str]:
    cells, digits = [_name(measure)], findings.digits(measure.name)
    for variant in findings.variants:
        result = findings.of(variant, measure.name)
        mean = number(None if result.level is None else result.level.value, digits)
        mark = "†" if result.differs else ""
        cells.append((f"**{mean}**" if result.best else mean) + mark + _interval(result.level, digits))
    return cells


def _difference_rows(findings: Findings, reference: str) -> Iterator[list[str]]:
    for block in tables.differences(findings, reference):
        for row in block.rows:
            compared, effect = row.comparison, row.comparison.effect
            difference = signed(compared.difference.value, block.digits)
            difference += _interval(compared.difference, block.digits)
            yield [
                _name(block.measure),
                _escape(row.variant),
                f"**{difference}**" if compared.holds else difference,
                NONE if effect is None else f"{number(effect.value)} {bracketed(effect)}",
                f"{compared.units} {compared.over}",
                p_value(compared.p),
                p_value(compared.corrected),
                NONE if row.needed == NONE else f"{number(block.worth, block.digits)}: {row.needed}",
            ]


def _by_culture(findings: Findings) -> list[tuple[str, list[list[str]]]]:
    """(metric, a row of means per culture) of the metrics that the headline has."""
    return [
        (
            _name(measure),
            [
                [_escape(culture)]
                + [_level(findings.by_culture(culture, v, measure.name), digits) for v in findings.variants]
                for culture in findings.cultures
            ],
        )
        for measure in findings.measures
        if measure.headline is not None
        for digits in [findings.digits(measure.name)]
    ]


def _name(measure: MetricSpec) -> str:
    return f"{measure.title} {measure.arrow}".rstrip()


def _level(level: Estimate | None, digits: int) -> str:
    return NONE if level is None else number(level.value, digits) + _interval(level, digits)


def _interval(estimate: Estimate | None, digits: int) -> str:
    return "" if estimate is None or estimate.half is None else f" {bracketed(estimate, digits)}"


def _escape(text: str) -> str:
    """Text that stays text: one line, and no character that Markdown or HTML would take."""
    return re.sub(r"([\\`*_{}\[\]<>|#~&$])", r"\\\1", " ".join(text.split()))
