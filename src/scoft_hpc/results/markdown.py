"""report.md: the report's numbers as GitHub shows them, for a repository, an issue or a colleague."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from scoft_hpc.config.metrics import MetricSpec
from scoft_hpc.results import survey_text
from scoft_hpc.results.findings import Findings
from scoft_hpc.results.formats import bracketed, number, p_value, signed
from scoft_hpc.results.report.provenance import shared_values
from scoft_hpc.results.statistics import Estimate
from scoft_hpc.results.study import Study
from scoft_hpc.study import costs
from scoft_hpc.study.atomic import write_text
from scoft_hpc.study.run_status import Status

ORIGIN_KEYS = ("scoft_hpc", "commit", "model_digest", "torch", "diffusers", "python", "device", "host")
"""The part of a run's provenance that is listed."""


def write(path: Path, findings: Findings) -> None:
    write_text(path, render(findings))


def render(findings: Findings) -> str:
    """The report as GitHub-flavoured Markdown; text from the study's files is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("scoft_hpc.results.report", "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(text=_escape, map_text=lambda row: map(_escape, row), metric_name=_name)
    study, survey = findings.study, findings.study.survey_results
    return environment.get_template("report.md.j2").render(
        findings=findings,
        study=study,
        done=sum(run.status is Status.done for run in study.runs),
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
        command=" ".join(["python -m scoft_hpc.sweep", *map(shlex.quote, study.plan.overrides)]),
        origin=list(_origin(study)),
        hours=sum(run.seconds or 0.0 for run in study.runs) / 3600,
        cost=costs.sentence(costs.total(study.costs)) if study.costs else "",
    )


def _mean_row(findings: Findings, measure: MetricSpec) -> list[str]:
    cells, digits = [_name(measure)], findings.digits(measure.name)
    for variant in findings.variants:
        result = findings.of(variant, measure.name)
        compared = result.against.get(findings.references[0])
        mean = number(None if result.level is None else result.level.value, digits)
        mark = "†" if compared is not None and compared.holds else ""
        cells.append((f"**{mean}**" if result.best else mean) + mark + _interval(result.level, digits))
    return cells


def _difference_rows(findings: Findings, reference: str) -> Iterator[list[str]]:
    for measure in findings.measures:
        digits, worth = findings.digits(measure.name), findings.worth(reference, measure.name)
        for variant in findings.variants:
            compared = findings.of(variant, measure.name).against.get(reference)
            if compared is None:
                continue
            difference = signed(compared.difference.value, digits) + _interval(compared.difference, digits)
            effect, needed = compared.effect, findings.needed(variant, reference, measure.name)
            yield [
                _name(measure),
                _escape(variant),
                f"**{difference}**" if compared.holds else difference,
                "–" if effect is None else f"{number(effect.value)} {bracketed(effect)}",
                f"{compared.units} {compared.over}",
                p_value(compared.p),
                p_value(compared.corrected),
                "–" if needed is None else f"{number(worth, digits)}: {needed.text}",
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


def _origin(study: Study) -> Iterator[tuple[str, str]]:
    """(name, values) of the code, the machines and the data; of data what the plan froze, or else what a job read."""
    values = dict(shared_values(run.provenance for run in study.runs))
    yield from ((key.replace("_", " "), values[key]) for key in ORIGIN_KEYS if key in values)
    for culture in study.cultures:
        digests = shared_values(
            {culture: run.config.get("data", {}).get("digest") or run.provenance.get("data_digest") or None}
            for run in study.of(culture=culture)
        )
        yield from ((f"data of {_escape(name)}", digest) for name, digest in digests)


def _name(measure: MetricSpec) -> str:
    return f"{measure.title} {measure.arrow}".rstrip()


def _level(level: Estimate | None, digits: int) -> str:
    return "–" if level is None else number(level.value, digits) + _interval(level, digits)


def _interval(estimate: Estimate | None, digits: int) -> str:
    return "" if estimate is None or estimate.half is None else f" {bracketed(estimate, digits)}"


def _escape(text: str) -> str:
    """Text that stays text: one line, and no character that Markdown or HTML would take."""
    return re.sub(r"([\\`*_{}\[\]<>|#~&$])", r"\\\1", " ".join(text.split()))
