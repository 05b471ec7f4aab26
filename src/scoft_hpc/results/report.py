"""report.html: a study in one file that needs no network, in light and dark, on a phone and on paper."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoft_hpc.results import costs, grids, plots
from scoft_hpc.results.measures import MEASURES, Measure
from scoft_hpc.results.statistics import Estimate, contrast, level
from scoft_hpc.results.study import BASE, Study
from scoft_hpc.results.table import number, rows
from scoft_hpc.runs.atomic import write_text
from scoft_hpc.runs.record import Status

UNFINISHED = (Status.planned, Status.queued, Status.running, Status.lost)


@dataclass(frozen=True)
class Heat:
    """A measure by culture and variant."""

    measure: Measure
    lines: list[tuple[str, list[float | None]]]


def write(path: Path, study: Study) -> None:
    write_text(path, render(study))


def render(study: Study) -> str:
    """The report as HTML; whatever the study's files say is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("scoft_hpc.results", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        number=number, signed=signed, interval=interval, duration=duration, amount=costs.amount
    )
    measures = [m for m in MEASURES.values() if any(run.metric(m.name) is not None for run in study.runs)]
    return environment.get_template("report.html.j2").render(
        study=study,
        command=" ".join(["python -m scoft_hpc.sweep", *map(shlex.quote, study.plan.get("words", []))]),
        measures=measures,
        lead=lead(study),
        levels=[(v, _count(study, v), [level(study, m, v) for m in measures]) for v in study.variants],
        contrasts=[
            (more, less, [contrast(study, m, more, less) for m in measures]) for more, less in _steps(study)
        ],
        heats=[_heat(study, m) for m in measures if m.name in ("default_style", "in_style")],
        cultures=plots.legend(study.cultures),
        measure_plots=[(m, plots.measure_plot(study, m)) for m in measures],
        loss_plots=[(title, svg) for t, title in plots.TERMS.items() if (svg := plots.loss_plot(study, t))],
        trained=[(i, v) for i, v in enumerate(study.variants) if any(r.curves for r in study.of(variant=v))],
        grids=[found for culture in study.cultures if (found := grids.grid(study, culture)) is not None],
        rows=rows(study),
        failures=[run for run in study.runs if run.status is Status.failed],
        unfinished=[run for run in study.runs if run.status in UNFINISHED],
        done=sum(run.status is Status.done for run in study.runs),
        samples=sum(len(run.samples) for run in study.runs),
        seconds=sum(run.seconds or 0.0 for run in study.runs),
        costs=costs.lines(study.costs),
        toy=any(run.config.get("data", {}).get("name") == "toy" for run in study.runs),
        provenance=list(_shared(run.provenance for run in study.runs if run.provenance)),
        digests=[(c, _data_digest(study, c)) for c in study.cultures],
        settings=list(_settings(study)),
    )


def lead(study: Study) -> str:
    """The one sentence to take away; empty where the truth is not known or nothing is scored."""
    measure = MEASURES["default_style"]
    levels = {v: found for v in study.variants if (found := level(study, measure, v)) is not None}
    base = levels.pop(BASE, None)
    if base is None:
        return ""
    text = f"The base model draws its default style in {base.value:.0%} of its samples"
    if not levels:
        return text + "."
    best = min(levels, key=lambda variant: levels[variant].value)
    return text + f"; fine-tuned, {best} does so least, in {levels[best].value:.0%}."


def signed(value: float) -> str:
    text = number(value)
    return text if text.startswith("−") or text == ".00" else f"+{text}"


def interval(estimate: Estimate) -> str:
    """`.12 to .34`; empty where nothing was repeated that could give one."""
    return "" if estimate.half is None else f"{number(estimate.low)} to {number(estimate.high)}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _steps(study: Study) -> Iterator[tuple[str, str]]:
    """Each variant against the one before it, which has one term less; at last the fullest against the base."""
    variants = study.variants
    yield from zip(variants[1:], variants, strict=False)
    if len(variants) > 2:
        yield variants[-1], variants[0]


def _count(study: Study, variant: str) -> str:
    runs = list(study.of(variant=variant))
    return f"{sum(run.status is Status.done for run in runs)} of {len(runs)}"


def _heat(study: Study, measure: Measure) -> Heat:
    def value(culture: str, variant: str) -> float | None:
        found = [
            m
            for run in study.of(culture=culture, variant=variant)
            if (m := run.metric(measure.name)) is not None
        ]
        return sum(found) / len(found) if found else None

    return Heat(measure, [(c, [value(c, v) for v in study.variants]) for c in study.cultures])


def _data_digest(study: Study, culture: str) -> str:
    """What the plan froze, or else what the job found."""
    for run in study.of(culture=culture):
        found = run.config.get("data", {}).get("digest") or run.provenance.get("data_digest")
        if found:
            return str(found)
    return "–"


def _shared(records: Iterable[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Each key with its values over all records, most of which agree."""
    together: dict[str, dict[str, None]] = {}
    for record in records:
        for key, value in record.items():
            if key != "data_digest" and value is not None:
                together.setdefault(key, {})[str(value)] = None
    for key, found in together.items():
        yield key, ", ".join(found)


def _settings(study: Study) -> Iterator[tuple[str, str, bool]]:
    """(name, value, whether it is not the default) of every setting, over the runs that share it."""
    from scoft_hpc.config.compose import to_mapping
    from scoft_hpc.config.schema import RunConfig, flat

    default = dict(flat(to_mapping(RunConfig())))
    named = ("culture", "variant", "seed", "data.digest")
    for key, value in _shared({k: v for k, v in flat(run.config) if k not in named} for run in study.runs):
        yield key, value, value != str(default.get(key))
