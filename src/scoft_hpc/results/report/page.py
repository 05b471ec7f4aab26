"""report.html: a study in one file that needs no network, in light and dark, on a phone and on paper.

A section is a template of its own below `templates/sections/`, named after its place in `SECTIONS`; one that has
nothing to show is left out, of the contents too.
"""

from __future__ import annotations

import base64
import hashlib
from itertools import groupby
from typing import TYPE_CHECKING, Any

from scoft_hpc import text
from scoft_hpc.config.metrics import MetricSpec
from scoft_hpc.results import formats, grids, survey_results, survey_text
from scoft_hpc.results.findings import Findings
from scoft_hpc.results.metric_validity import MetricValidity, metric_validity
from scoft_hpc.results.report import curves_svg, provenance, survey, tables
from scoft_hpc.results.report.forest import forest
from scoft_hpc.results.report.heatmap import heatmaps
from scoft_hpc.results.study import BASE, Study
from scoft_hpc.results.table import rows
from scoft_hpc.study import costs
from scoft_hpc.study.run_status import Status

if TYPE_CHECKING:
    from jinja2 import Environment

SECTIONS = {
    "variants": ("Variants", "groups"),
    "ratings": ("What people say", "survey"),
    "samples": ("Samples", "grids"),
    "differences": ("Differences", "differences"),
    "forests": ("Differences by culture", "forests"),
    "cultures": ("Levels by culture", "heatmaps"),
    "neutral": ("What was forgotten", "neutral"),
    "training": ("Training", "loss_plots"),
    "trust": ("How far each metric can be trusted", "metric_validity"),
    "runs": ("Runs", "rows"),
    "cost": ("What it cost", "costs"),
    "provenance": ("How it was made", "provenance"),
    "glossary": ("How to read the numbers", "groups"),
}
"""id: (title, what it shows), in their order on the page."""


def render(findings: Findings) -> str:
    """The report as HTML; whatever the study's files say is escaped."""
    environment = _environment()
    content = {**_about(findings.study), **_shown(findings), "lead": lead(findings), "held": held(findings)}
    script = environment.get_template("enlarge.js").render()
    return environment.get_template("page.html.j2").render(
        **content,
        findings=findings,
        sections=[(name, title) for name, (title, shown) in SECTIONS.items() if content[shown]],
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def lead(findings: Findings) -> str:
    """The one sentence to take away; empty where the truth is not known or nothing is scored."""
    measure = "default_style"
    if measure not in [m.name for m in findings.measures]:
        return ""
    levels = {v: e for v in findings.variants if (e := findings.of(v, measure).level) is not None}
    base = levels.pop(BASE, None)
    if base is None:
        return ""
    text = f"The base model draws its default style in {base.value:.0%} of its samples"
    if not levels:
        return text + "."
    best = min(levels, key=lambda variant: levels[variant].value)
    return text + f"; fine-tuned, {best} does so least, in {levels[best].value:.0%}."


def held(findings: Findings) -> str:
    """How many of the differences hold, from each reference; empty where there are none."""
    sentences = []
    for reference in findings.references:
        comparisons = [
            c
            for measure in findings.measures
            for variant in findings.variants
            if (c := findings.of(variant, measure.name).against.get(reference)) is not None
        ]
        if comparisons:
            hold = sum(c.holds for c in comparisons)
            sentences.append(f"{hold} of {len(comparisons)} from {reference}")
    return f"Differences that hold: {formats.listed(sentences)}." if sentences else ""


def _about(study: Study) -> dict[str, Any]:
    """What was run, and how far it came."""
    return {
        "study": study,
        "rows": rows(study),
        "failures": [run for run in study.runs if run.status is Status.failed],
        "unfinished": [run for run in study.runs if run.status not in (Status.done, Status.failed)],
        "n_done": study.count_done()[0],
        "samples": sum(len(run.samples) for run in study.runs),
        "seconds": sum(run.seconds or 0.0 for run in study.runs),
        "cost": costs.total(study.costs),
        "costs": costs.lines(study.costs),
        "toy": any(run.config.get("data", {}).get("name") == "toy" for run in study.runs),
        "provenance": provenance.provenance_groups(study),
        "changed_code": provenance.changed_code(study),
        "settings": list(provenance.settings(study)),
    }


def _shown(findings: Findings) -> dict[str, Any]:
    """Tables, plots and pictures."""
    study = findings.study
    differences = {reference: tables.differences(findings, reference) for reference in findings.references}
    return {
        "groups": tables.groups(findings) if findings.measures else [],
        "survey": None
        if study.survey_results is None
        else survey.survey_section(study.survey_results, study.variants),
        "counts": {v: "{} of {}".format(*study.count_done(v)) for v in study.variants},
        "differences": {reference: blocks for reference, blocks in differences.items() if blocks},
        "forests": [
            (drawn, findings.digits(measure.name))
            for measure in findings.measures
            if (drawn := forest(findings, measure, findings.references[0])) is not None
        ],
        "heatmaps": heatmaps(findings),
        "loss_plots": [
            (title, plot) for t, title in curves_svg.TERMS.items() if (plot := curves_svg.loss_plot(study, t))
        ],
        "trained": [
            (i, v) for i, v in enumerate(study.variants) if any(r.curves for r in study.of(variant=v))
        ],
        "grids": [grid for culture in study.cultures if (grid := grids.grid(study, culture)) is not None],
        "metric_validity": _validities(study),
        "neutral": [
            grid for culture in study.cultures if (grid := grids.neutral(study, culture)) is not None
        ],
    }


def _validities(study: Study) -> list[tuple[MetricSpec, list[MetricValidity]]]:
    """Each metric with its correlations with the truths, if there are any."""
    by_metric = groupby(metric_validity(study), key=lambda validity: validity.metric)
    rows = [(metric, list(validities)) for metric, validities in by_metric]
    return [
        (metric, validities) for metric, validities in rows if any(v.overall or v.within for v in validities)
    ]


def _environment() -> Environment:
    environment = template_environment(autoescape=True)
    functions = (
        formats.number,
        formats.signed,
        formats.interval,
        formats.p_value,
        text.duration,
        formats.moment,
    )
    environment.filters.update(
        {function.__name__: function for function in functions},
        amount=costs.amount,
        too_few=survey_text.too_few,
        of_raters=survey_results.interval,
        title_of=survey_text.question_title,
        primary_sentence=survey_text.primary_sentence,
        panel_summary=survey_text.panel_summary,
        consistency_summary=survey_text.consistency_summary,
    )
    environment.globals.update(colours=curves_svg.COLOURS, lanes=curves_svg.MAX_LANES)
    return environment


def template_environment(autoescape: bool) -> Environment:
    """Jinja's environment of the report's templates; a name that is not given is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("scoft_hpc.results.report", "templates"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
