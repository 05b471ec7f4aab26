"""report.md: the report's numbers as GitHub shows them, for a repository, an issue or a colleague."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from scoft_hpc.config.metrics import MetricSpec
from scoft_hpc.results import survey_text
from scoft_hpc.results.findings import Findings
from scoft_hpc.results.formats import number, p_value, signed
from scoft_hpc.results.inference import Comparison
from scoft_hpc.results.statistics import Estimate
from scoft_hpc.results.study import Study
from scoft_hpc.results.survey_results import SurveyResults
from scoft_hpc.study import costs
from scoft_hpc.study.atomic import write_text
from scoft_hpc.study.run_status import Status

MADE_BY = ("scoft_hpc", "commit", "model_digest", "torch", "diffusers", "python", "device", "host")
"""What of a run's provenance is told."""


def write(path: Path, found: Findings) -> None:
    write_text(path, render(found))


def render(found: Findings) -> str:
    sections = [_head(found.study), _headline(found), *(_against(found, r) for r in found.references)]
    if found.study.survey_results is not None:
        sections.append(_survey(found.study.survey_results))
    sections += [_by_culture(found), _failures(found.study), _made(found.study), _meanings(found)]
    return "\n\n".join("\n".join(lines) for section in sections if (lines := list(section))) + "\n"


def _head(study: Study) -> Iterator[str]:
    done = sum(run.status is Status.done for run in study.runs)
    samples = sum(len(run.samples) for run in study.runs)
    yield f"# {_text(study.name)}"
    yield ""
    yield (
        f"{done} of {len(study.runs)} runs done: {len(study.cultures)} cultures, {len(study.variants)} variants, "
        f"{len(study.seeds)} seeds; {samples} scored samples."
    )


def _headline(found: Findings) -> Iterator[str]:
    """Variants × measures, measures down the page: there may be many."""
    if not found.measures:
        return
    yield "## Variants"
    yield ""
    yield (
        f"Means over cultures and seeds with 95 % intervals. **Bold**: the best of its line. †: differs from "
        f"{_text(found.references[0])} after Holm's correction."
    )
    yield ""
    lines = []
    for m in found.measures:
        cells = []
        for variant in found.variants:
            finding, digits = found.of(variant, m.name), found.digits(m.name)
            compared = finding.against.get(found.references[0])
            mean = "–" if finding.level is None else number(finding.level.value, digits)
            mark = "†" if compared is not None and compared.holds else ""
            mean = f"**{mean}**" if finding.best else mean
            cells.append(mean + mark + _interval(finding.level, digits))
        lines.append([_name(m), *cells])
    yield from _table(["", *map(_text, found.variants)], lines)
    for m in found.measures:
        for warning in found.warnings(m.name):
            yield ""
            yield f"{m.title}: {_text(warning)}"


def _against(found: Findings, reference: str) -> Iterator[str]:
    lines = [
        [_name(m), _text(variant), *_comparison(compared, found, variant, reference, m)]
        for m in found.measures
        for variant in found.variants
        if (compared := found.of(variant, m.name).against.get(reference)) is not None
    ]
    if not lines:
        return
    yield f"## Against {_text(reference)}"
    yield ""
    yield (
        f"Paired differences: the same culture, seed, prompts and starting noise on both sides. g is Hedges', in "
        f"standard deviations of the units' differences; p is of a paired t test, then after Holm's correction over "
        f"the {len(lines)} lines of this table; **bold** where that is at most .05. Last: what more it would take to "
        f"see the difference that we hold worth seeing, by its interval alone and in 8 of 10 studies."
    )
    yield ""
    head = ["measure", "variant", "difference", "g", "units", "p", "p, Holm", "more, to see"]
    yield from _table(head, lines)


def _comparison(
    compared: Comparison, found: Findings, variant: str, reference: str, m: MetricSpec
) -> Iterator[str]:
    digits, effect = found.digits(m.name), compared.effect
    text = signed(compared.difference.value, digits) + _interval(compared.difference, digits)
    yield f"**{text}**" if compared.holds else text
    yield "–" if effect is None else f"{number(effect.value)} [{number(effect.low)}, {number(effect.high)}]"
    yield f"{compared.units} {compared.over}"
    yield p_value(compared.p)
    yield p_value(compared.corrected)
    needed, worth = found.needed(variant, reference, m.name), found.worth(reference, m.name)
    yield "–" if needed is None else f"{number(worth, digits)}: {needed.text}"


def _survey(results: SurveyResults) -> Iterator[str]:
    yield "## What people say"
    for paragraph in survey_text.paragraphs(results):
        yield ""
        yield _text(paragraph)
    for table in survey_text.tables(results):
        yield ""
        yield f"**{_text(table.title)}**"
        yield ""
        yield from _table(list(map(_text, table.columns)), [map(_text, row) for row in table.rows])


def _by_culture(found: Findings) -> Iterator[str]:
    shown = [m for m in found.measures if m.headline is not None]
    if not shown or len(found.cultures) < 2:
        return
    yield "## By culture"
    yield ""
    yield "Means with 95 % intervals that speak of other seeds of a culture, or of other samples of its only run."
    for m in shown:
        yield ""
        yield f"**{_name(m)}**"
        yield ""
        digits = found.digits(m.name)
        yield from _table(
            ["culture", *map(_text, found.variants)],
            [
                [
                    _text(culture),
                    *(_level(found.by_culture(culture, v, m.name), digits) for v in found.variants),
                ]
                for culture in found.cultures
            ],
        )


def _failures(study: Study) -> Iterator[str]:
    left = [run for run in study.runs if run.status is not Status.done]
    if not left:
        return
    yield "## Not done"
    yield ""
    for run in left:
        reason = f": {_text(str(run.failure.get('message', 'no reason was written')))}" if run.failure else ""
        yield f"- `{run.run_id}` {run.status.value}{reason}"


def _made(study: Study) -> Iterator[str]:
    yield "## How it was made"
    yield ""
    yield f"    {' '.join(['python -m scoft_hpc.sweep', *map(shlex.quote, study.plan.overrides)])}"
    yield ""
    for key in MADE_BY:
        if told := dict.fromkeys(str(v) for run in study.runs if (v := run.provenance.get(key)) is not None):
            yield f"- {key.replace('_', ' ')}: {_text(', '.join(told))}"
    for culture in study.cultures:
        if told := dict.fromkeys(str(v) for v in _digests(study, culture) if v):
            yield f"- data of {_text(culture)}: {_text(', '.join(told))}"
    seconds = sum(run.seconds or 0.0 for run in study.runs)
    yield f"- computing: {seconds / 3600:.2f} h over all runs"
    if study.costs:
        yield f"- cost: {costs.sentence(costs.total(study.costs))}"


def _digests(study: Study, culture: str) -> Iterator[object]:
    """What the plan froze, or else what a job found."""
    for run in study.of(culture=culture):
        yield run.config.get("data", {}).get("digest") or run.provenance.get("data_digest")


def _meanings(found: Findings) -> Iterator[str]:
    if not found.measures:
        return
    yield "## What the numbers mean"
    yield ""
    for m in found.measures:
        yield f"- **{_name(m)}**: {m.meaning}"


def _name(measure: MetricSpec) -> str:
    return f"{measure.title} {measure.arrow}".rstrip()


def _level(level: Estimate | None, digits: int) -> str:
    return "–" if level is None else number(level.value, digits) + _interval(level, digits)


def _interval(estimate: Estimate | None, digits: int) -> str:
    if estimate is None or estimate.half is None:
        return ""
    return f" [{number(estimate.low, digits)}, {number(estimate.high, digits)}]"


def _table(head: Sequence[str], lines: Iterable[Iterable[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for line in lines:
        yield f"| {' | '.join(line)} |"


def _text(text: str) -> str:
    """Text that stays text: one line, and no character that Markdown or HTML would take."""
    return re.sub(r"([\\`*_{}\[\]<>|#~&$])", r"\\\1", " ".join(text.split()))
