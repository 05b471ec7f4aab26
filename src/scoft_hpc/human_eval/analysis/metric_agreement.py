"""Which automatic metric predicts people.

Over (culture, system): Spearman's correlation of the metric's mean over runs with the worth, within cultures and over
all of them, with the intervals over cultures of `scoft_hpc.results.metric_validity`. Every culture has its own raters,
so the variance between cultures contains the raters' noise. With a single culture only raters can be resampled: the
interval is that of resampled raters' worths, on Fisher's z, and generalises to that culture alone.

Over single pictures, where the metric has a value for each: of the pairs of a page that a rater does not tie, how often
the metric prefers what the rater prefers; the metric's ties are half. The interval is over raters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from scoft_hpc.config.metrics import METRICS, MetricSpec
from scoft_hpc.human_eval.analysis import plackett_luce, win_rates
from scoft_hpc.human_eval.analysis.agreement import tau
from scoft_hpc.human_eval.analysis.bootstrap import resample, t_interval
from scoft_hpc.human_eval.analysis.rankings import Array, Rankings
from scoft_hpc.human_eval.analysis.win_rates import Tally
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.results import metric_validity
from scoft_hpc.results.metric_validity import MAX_CORRELATION, Correlation
from scoft_hpc.results.study import Study
from scoft_hpc.results.survey_results import IntervalEstimate, MetricAgreement, finite

Point = tuple[str, str]
"""(culture, system)."""


def metric_agreement(
    question: str,
    found: Rankings,
    by_culture: Mapping[str, Mapping[str, float]],
    study: Study,
    pages: Sequence[Page],
    rng: np.random.Generator,
) -> Iterator[MetricAgreement]:
    """Every metric with a better end that the study has.

    Args:
        found: the question's rankings.
        by_culture: culture -> system -> worth, of cultures that are told.
    """
    for measure in METRICS.values():
        goodness = system_goodness(study, measure)
        points = [
            (culture, system)
            for culture, systems in by_culture.items()
            for system in systems
            if (culture, system) in goodness
        ]
        if not points:
            continue
        metric = [goodness[point] for point in points]
        human = [by_culture[culture][system] for culture, system in points]
        cultures = [culture for culture, _ in points]
        within, overall = (
            one(metric, human, cultures) for one in (metric_validity.within, metric_validity.overall)
        )
        if overall is not None and overall.cultures == 1:
            within = overall = _of_raters(overall, found, points, metric, rng)
        yield MetricAgreement(
            question,
            measure.name,
            _pairs(found, measure, study, pages, rng),
            _number(within),
            _number(overall),
            tau(np.array(metric), np.array(human)) if overall else None,
            len(points),
        )


def system_goodness(study: Study, measure: MetricSpec) -> dict[Point, float]:
    """(culture, system) -> how good the metric holds it, the mean over runs; empty where no end is better."""
    values: dict[Point, list[float]] = {}
    for run in study.runs:
        value = run.metric(measure.name)
        badness = None if value is None else measure.loss_of(value)
        if badness is not None:
            values.setdefault((run.culture, run.variant), []).append(-badness)
    return {point: float(np.mean(some)) for point, some in values.items()}


def image_goodness(study: Study, measure: MetricSpec, pages: Sequence[Page]) -> dict[tuple[str, str], float]:
    """(page, system) -> how good the metric holds the picture; empty of a metric without values of single samples."""
    if measure.unit != "sample":
        return {}
    runs = {run.run_id: run for run in study.runs}
    rows = {
        (run_id, str(row["file"])): value
        for run_id, run in runs.items()
        for row in run.scores.get("samples", [])
        if (value := row.get(measure.name)) is not None
    }
    found = {}
    for page in pages:
        for picture in page.pictures:
            value = rows.get((picture.run_id, picture.file))
            badness = None if value is None else measure.loss_of(float(value))
            if badness is not None:
                found[page.id, picture.system] = -badness
    return found


def count_agreements(found: Rankings, goodness: Mapping[tuple[str, str], float]) -> Tally:
    """Of each rater's pairs that do not tie: how many the metric orders alike, a tie of it being half, [raters]."""
    missing = float("nan")
    metric = np.array([[goodness.get((p, s), missing) for s in found.systems] for p in found.pages])
    metric = metric.reshape(len(found.pages), len(found.systems))
    tally = Tally(np.zeros(len(found.raters)), np.zeros(len(found.raters)))
    for i, j in combinations(range(len(found.systems)), 2):
        people = np.sign(found.ranks[:, j] - found.ranks[:, i])
        theirs = np.sign(metric[found.page, i] - metric[found.page, j])
        told = np.isfinite(people) & (people != 0) & np.isfinite(theirs)
        np.add.at(tally.won, found.rater[told], (1 + people[told] * theirs[told]) / 2)
        np.add.at(tally.total, found.rater[told], 1.0)
    return tally


def _pairs(
    found: Rankings, measure: MetricSpec, study: Study, pages: Sequence[Page], rng: np.random.Generator
) -> IntervalEstimate | None:
    goodness = image_goodness(study, measure, pages)
    if not goodness or not found.raters:
        return None
    tally = count_agreements(found, goodness)
    if not tally.total.any():
        return None
    resamples = resample(found.strata, rng)
    one = win_rates.estimate_rate(tally, found.strata, resamples)
    ends = (float(one.low), float(one.high)) if resamples.dof else ()
    return finite(float(one.value), *ends)


def _of_raters(
    told: Correlation,
    found: Rankings,
    points: Sequence[Point],
    metric: Sequence[float],
    rng: np.random.Generator,
) -> Correlation:
    """The correlation of a single culture with an interval over its raters."""
    own = found.for_culture(points[0][0])
    resamples = resample(own.strata, rng)
    counted = plackett_luce.count_choices(own)
    drawn = plackett_luce.fit(resamples.weights @ counted.chosen, resamples.weights @ counted.sets)
    at = [own.systems.index(system) for _, system in points]
    one = np.ones((1, len(at)))
    correlations = np.array(
        [metric_validity.spearman(np.array(metric), human[at], one)[0] for human in drawn]
    )
    z, again = _fisher(np.array(told.value)), _fisher(correlations)
    # So few systems have a coarse correlation: without a floor, resamples of one order would have no interval.
    low, high = t_interval(z, again, np.array(1 / np.sqrt(max(len(at) - 3, 1))), resamples.dof)
    ends = min(float(np.tanh(low)), told.value), max(float(np.tanh(high)), told.value)
    return Correlation(told.value, *ends, told.runs, 1, "raters")


def _fisher(value: Array) -> Array:
    return np.arctanh(np.clip(value, -MAX_CORRELATION, MAX_CORRELATION))


def _number(found: Correlation | None) -> IntervalEstimate | None:
    return None if found is None else finite(found.value, found.low, found.high)
