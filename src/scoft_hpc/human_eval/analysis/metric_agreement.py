"""Agreement of automatic metrics with raters' judgements.

Over (culture, system): Spearman's correlation of the metric's mean over runs with the worth, within cultures and over
all of them, with the intervals over cultures of `scoft_hpc.results.metric_validity`. Every culture has its own raters,
so the variance between cultures contains the raters' noise. With a single culture only raters can be resampled: the
interval is that of resampled raters' worths, on Fisher's z, and generalises to that culture alone.

Over single images, where the metric has a value for each: among the pairs of a page that a rater does not tie, how
often the metric prefers the image that the rater prefers; the metric's ties count half. The interval is over raters.
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
    rankings: Rankings,
    worths: Mapping[str, Mapping[str, float]],
    study: Study,
    pages: Sequence[Page],
    rng: np.random.Generator,
) -> Iterator[MetricAgreement]:
    """Every metric of the study with a better end, compared with raters.

    Args:
        rankings: of the question.
        worths: culture -> system -> worth, of the cultures that are reported.
    """
    for spec in METRICS.values():
        goodness = system_goodness(study, spec)
        points = [(c, s) for c, systems in worths.items() for s in systems if (c, s) in goodness]
        if not points:
            continue
        metric = [goodness[point] for point in points]
        human = [worths[culture][system] for culture, system in points]
        cultures = [culture for culture, _ in points]
        within = metric_validity.within(metric, human, cultures)
        overall = metric_validity.overall(metric, human, cultures)
        if overall is not None and overall.cultures == 1:
            within = overall = _with_rater_interval(overall, rankings, points, metric, rng)
        yield MetricAgreement(
            question,
            spec.name,
            _pair_agreement(rankings, spec, study, pages, rng),
            _estimate(within),
            _estimate(overall),
            tau(np.array(metric), np.array(human)) if overall else None,
            len(points),
        )


def system_goodness(study: Study, spec: MetricSpec) -> dict[Point, float]:
    """The mean over runs of the metric, the greater the better; empty for a metric without a better end."""
    values: dict[Point, list[float]] = {}
    for run in study.runs:
        value = run.metric(spec.name)
        loss = None if value is None else spec.loss_of(value)
        if loss is not None:
            values.setdefault((run.culture, run.variant), []).append(-loss)
    return {point: float(np.mean(runs)) for point, runs in values.items()}


def image_goodness(study: Study, spec: MetricSpec, pages: Sequence[Page]) -> dict[tuple[str, str], float]:
    """(page, system) -> the metric of the image, the greater the better; empty for a metric of sets."""
    if spec.unit != "sample":
        return {}
    values = {
        (run.run_id, str(row["file"])): value
        for run in study.runs
        for row in run.scores.get("samples", [])
        if (value := row.get(spec.name)) is not None
    }
    goodness = {}
    for page in pages:
        for image in page.images:
            value = values.get((image.run_id, image.file))
            loss = None if value is None else spec.loss_of(float(value))
            if loss is not None:
                goodness[page.id, image.system] = -loss
    return goodness


def count_agreements(rankings: Rankings, goodness: Mapping[tuple[str, str], float]) -> Tally:
    """Of each rater's pairs without a tie: how many the metric orders the same, a tie of it being half, [raters]."""
    n_systems = len(rankings.systems)
    metric = np.array([[goodness.get((p, s), np.nan) for s in rankings.systems] for p in rankings.pages])
    metric = metric.reshape(len(rankings.pages), n_systems)
    tally = Tally(np.zeros(len(rankings.raters)), np.zeros(len(rankings.raters)))
    for i, j in combinations(range(n_systems), 2):
        human_sign = np.sign(rankings.ranks[:, j] - rankings.ranks[:, i])
        metric_sign = np.sign(metric[rankings.page, i] - metric[rankings.page, j])
        compared = np.isfinite(human_sign) & (human_sign != 0) & np.isfinite(metric_sign)
        agreed = (1 + human_sign[compared] * metric_sign[compared]) / 2
        np.add.at(tally.won, rankings.rater[compared], agreed)
        np.add.at(tally.total, rankings.rater[compared], 1.0)
    return tally


def _pair_agreement(
    rankings: Rankings, spec: MetricSpec, study: Study, pages: Sequence[Page], rng: np.random.Generator
) -> IntervalEstimate | None:
    goodness = image_goodness(study, spec, pages)
    if not goodness or not rankings.raters:
        return None
    tally = count_agreements(rankings, goodness)
    if not tally.total.any():
        return None
    resamples = resample(rankings.strata, rng)
    rate = win_rates.estimate_rate(tally, rankings.strata, resamples)
    ends = (float(rate.low), float(rate.high)) if resamples.dof else ()
    return finite(float(rate.value), *ends)


def _with_rater_interval(
    correlation: Correlation,
    rankings: Rankings,
    points: Sequence[Point],
    metric: Sequence[float],
    rng: np.random.Generator,
) -> Correlation:
    """The correlation of a single culture with an interval over its raters."""
    panel = rankings.for_culture(points[0][0])
    resamples = resample(panel.strata, rng)
    counts = plackett_luce.count_choices(panel)
    worths = plackett_luce.fit(resamples.weights @ counts.chosen, resamples.weights @ counts.sets)
    columns = [panel.systems.index(system) for _, system in points]
    weights = np.ones((1, len(columns)))
    replicates = np.array(
        [metric_validity.spearman(np.array(metric), theta[columns], weights)[0] for theta in worths]
    )
    # Few systems have few possible correlations: without a floor, resamples of one order would have no interval.
    model_sd = np.array(1 / np.sqrt(max(len(columns) - 3, 1)))
    z = _fisher_z(np.array(correlation.value))
    low, high = t_interval(z, _fisher_z(replicates), model_sd, resamples.dof)
    ends = min(float(np.tanh(low)), correlation.value), max(float(np.tanh(high)), correlation.value)
    return Correlation(correlation.value, *ends, correlation.runs, 1, "raters")


def _fisher_z(value: Array) -> Array:
    return np.arctanh(np.clip(value, -MAX_CORRELATION, MAX_CORRELATION))


def _estimate(correlation: Correlation | None) -> IntervalEstimate | None:
    return None if correlation is None else finite(correlation.value, correlation.low, correlation.high)
