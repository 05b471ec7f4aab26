"""How well each metric agrees with the truth, which is known in the toy world only.

Spearman's rank correlation over runs says whether a metric orders runs as the truth does. It is reported twice: over
all runs, and as the mean within cultures, because a metric can rank each culture's runs well and still have a different
scale in each culture.

Runs of a culture share its images, prompts and noises, so cultures are the sampling units of both intervals. Over all
runs it is a jackknife over cultures, on Fisher's z, with Student's t (Miller, Biometrika 61, 1974); within cultures it
is that of a mean over cultures (`scoft_hpc.results.statistics.interval`). A bootstrap, of runs or of cultures, covers
far too seldom with few cultures: see docs/statistics.md. With a single culture the jackknife is over runs, and the
interval does not generalise to other cultures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.config.metrics import METRICS, MetricSpec
from scoft_hpc.results.statistics import CONFIDENCE, interval
from scoft_hpc.results.study import Study, StudyRun

TRUTH = "truth"
"""The group of the metrics that exist in the toy world only."""
MIN_RUNS = 4
"""A rank correlation of fewer runs is not reported [ours]."""
MAX_CORRELATION = 0.999
"""Correlations are clipped to this before Fisher's z, which is infinite at 1 [ours]."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """A rank correlation of `runs` in `cultures` with its 95 % interval, infinite where it is unknown.

    `over` names the sampling units of the interval: "cultures", "runs" or "raters".
    """

    value: float
    low: float
    high: float
    runs: int
    cultures: int
    over: str


@dataclass(frozen=True)
class MetricValidity:
    """A metric's correlation with one truth; None where too few runs have both, or either is constant.

    `expected`: the sign of the correlation if better by the metric is better by the truth; None without a better end.
    """

    metric: MetricSpec
    truth: MetricSpec
    overall: Correlation | None
    within: Correlation | None
    expected: int | None


def metric_validity(study: Study) -> list[MetricValidity]:
    """Every metric with each truth, in the order of `METRICS`; empty where the truth is unknown."""
    runs = list(_distinct_runs(study))
    present = [m for m in METRICS.values() if any(run.metric(m.name) is not None for run in runs)]
    return [
        _validity(metric, truth, runs)
        for metric in present
        for truth in present
        if metric.group != TRUTH and truth.group == TRUTH
    ]


def overall(metric: Sequence[float], truth: Sequence[float], cultures: Sequence[str]) -> Correlation | None:
    """Spearman's correlation over runs with a jackknife interval over cultures, or over runs of a single culture."""
    x, y = np.array(metric), np.array(truth)
    if not _has_correlation(x, y):
        return None
    names = list(dict.fromkeys(cultures))
    several = len(names) > 1
    unit_of = np.array([names.index(c) for c in cultures] if several else range(len(x)), dtype=np.intp)
    n_units = int(unit_of.max()) + 1
    value = float(spearman(x, y, np.ones((1, len(x))))[0])
    leave_one_out = spearman(x, y, (unit_of != np.arange(n_units)[:, None]).astype(float))
    z = np.arctanh(leave_one_out.clip(-MAX_CORRELATION, MAX_CORRELATION))
    low, high = _fisher_interval(value, math.sqrt((n_units - 1) * z.var()), n_units)
    return Correlation(value, low, high, len(x), len(names), "cultures" if several else "runs")


def within(metric: Sequence[float], truth: Sequence[float], cultures: Sequence[str]) -> Correlation | None:
    """The mean over cultures of Spearman's correlation over a culture's runs."""
    x, y, culture_of = np.array(metric), np.array(truth), np.array(cultures)
    rows = {culture: culture_of == culture for culture in dict.fromkeys(cultures)}
    rows = {culture: row for culture, row in rows.items() if _has_correlation(x[row], y[row])}
    if len(rows) < 2:
        return next(
            (overall(list(x[row]), list(y[row]), list(culture_of[row])) for row in rows.values()), None
        )
    values = [spearman(x[row], y[row], np.ones((1, row.sum())))[0] for row in rows.values()]
    low, high = interval(np.array(values), (-1.0, 1.0))
    n_runs = int(sum(row.sum() for row in rows.values()))
    return Correlation(float(np.mean(values)), float(low), float(high), n_runs, len(rows), "cultures")


def spearman(x: Array, y: Array, weights: Array) -> Array:
    """Rank correlations [K] of x and y [n] with run i counted weights[k, i] times; NaN where x or y is constant."""
    counts = weights.sum(axis=1, keepdims=True)
    centred = []
    for values in (x, y):
        below = (values[:, None] < values) + 0.5 * (values[:, None] == values)  # a tie counts half
        rank = weights @ below
        centred.append(rank - (weights * rank).sum(axis=1, keepdims=True) / counts)
    rank_x, rank_y = centred
    with np.errstate(invalid="ignore"):
        covariance = (weights * rank_x * rank_y).sum(axis=1)
        variance_x, variance_y = ((weights * rank**2).sum(axis=1) for rank in centred)
        return np.asarray(covariance / np.sqrt(variance_x * variance_y))


def _validity(metric: MetricSpec, truth: MetricSpec, runs: Sequence[StudyRun]) -> MetricValidity:
    points = [
        (value, true, run.culture)
        for run in runs
        if (value := run.metric(metric.name)) is not None and (true := run.metric(truth.name)) is not None
    ]
    x, y, cultures = [p[0] for p in points], [p[1] for p in points], [p[2] for p in points]
    signs = {"higher": 1, "lower": -1, "target_half": 0, "undirected": 0}
    expected = signs[metric.direction] * signs[truth.direction] or None
    return MetricValidity(metric, truth, overall(x, y, cultures), within(x, y, cultures), expected)


def _distinct_runs(study: Study) -> Iterator[StudyRun]:
    """Each run, but only one of an untrained model's, which has the same scores with every seed."""
    seen: list[tuple[str, str, object]] = []
    for run in study.runs:
        key = (run.culture, run.variant, run.scores.get("metrics"))
        if key not in seen:
            seen.append(key)
            yield run


def _has_correlation(x: Array, y: Array) -> bool:
    return len(x) >= MIN_RUNS and bool(np.ptp(x) > 0) and bool(np.ptp(y) > 0)


def _fisher_interval(value: float, standard_error: float, n_units: int) -> tuple[float, float]:
    """The interval of a correlation whose z has this standard error over so many units."""
    from scipy.special import stdtrit

    if not math.isfinite(standard_error):  # x or y is constant without one of the units
        return -math.inf, math.inf
    z = math.atanh(min(max(value, -MAX_CORRELATION), MAX_CORRELATION))
    half = float(stdtrit(n_units - 1, (1 + CONFIDENCE) / 2)) * standard_error
    return math.tanh(z - half), math.tanh(z + half)
