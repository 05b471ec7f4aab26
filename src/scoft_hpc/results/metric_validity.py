"""How well each metric tracks the truth, where that is known: in the toy world.

With photographs there is no truth, only metrics that stand for it. Where both are at hand, Spearman's rank correlation
over runs says whether the metric orders runs as the truth does. It is told twice: over all runs together, and within
cultures, averaged: a metric may rank a culture's runs well and still mistake one culture's scale for another's.

Runs of a culture share its images, prompts and noises, so cultures are the units of both intervals. Over all runs it is
a jackknife that leaves out one culture at a time, on Fisher's z, with Student's t (Miller, Biometrika 61, 1974); within
cultures it is that of a mean over cultures (`scoft_hpc.results.statistics.interval`). A bootstrap, of runs or of
cultures, covers far too seldom with few cultures: see docs/statistics.md. Of a single culture, one run at a time is
left out, and nothing follows for another culture.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.config.metrics import METRICS, MetricSpec
from scoft_hpc.results.statistics import CONFIDENCE, interval
from scoft_hpc.results.study import Run, Study

TRUTH = "truth"
"""The group of the measures that are known in the toy world alone."""
MIN_RUNS = 4
"""Runs of which a rank correlation is worth telling [ours]."""
MAX_CORRELATION = 0.999
"""Where a correlation of 1 is held for Fisher's z, which has no end [ours]."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """A rank correlation with its 95 % interval, infinite where nothing tells.

    `runs` and `cultures` are how many it rests on; `over` is what the interval counts, "cultures" or "runs".
    """

    value: float
    low: float
    high: float
    runs: int
    cultures: int
    over: str


@dataclass(frozen=True)
class MetricValidity:
    """How a metric goes with one of the truths; None where too few runs have both, or all have the same.

    `expected` is 1 or -1, the sign of a metric that tells better from worse as that truth does; None where the metric
    has no better end.
    """

    metric: MetricSpec
    truth: MetricSpec
    overall: Correlation | None
    within: Correlation | None
    expected: int | None


def metric_validity(study: Study) -> list[MetricValidity]:
    """Every metric with each truth, in the order of `METRICS`; empty where the truth is not known."""
    runs = list(_distinct(study))
    told = [m for m in METRICS.values() if any(run.metric(m.name) is not None for run in runs)]
    return [
        _validity(metric, truth, runs)
        for metric in told
        for truth in told
        if metric.group != TRUTH and truth.group == TRUTH
    ]


def overall(metric: Sequence[float], truth: Sequence[float], cultures: Sequence[str]) -> Correlation | None:
    """Spearman's correlation over runs, with a jackknife interval over their cultures; of one culture, over runs."""
    x, y = np.array(metric), np.array(truth)
    names = list(dict.fromkeys(cultures))
    groups = np.array(
        [names.index(culture) for culture in cultures] if len(names) > 1 else range(len(x)), dtype=np.intp
    )
    if not _has_correlation(x, y):
        return None
    units = groups.max() + 1
    value = float(spearman(x, y, np.ones((1, len(x))))[0])
    z = np.arctanh(
        spearman(x, y, (groups != np.arange(units)[:, None]).astype(float)).clip(
            -MAX_CORRELATION, MAX_CORRELATION
        )
    )
    low, high = _fisher(value, math.sqrt((units - 1) * z.var()), int(units))
    return Correlation(value, low, high, len(x), len(names), "cultures" if len(names) > 1 else "runs")


def within(metric: Sequence[float], truth: Sequence[float], cultures: Sequence[str]) -> Correlation | None:
    """The mean over cultures of Spearman's correlation over a culture's runs."""
    x, y, of = np.array(metric), np.array(truth), np.array(cultures)
    told = [
        culture for culture in dict.fromkeys(cultures) if _has_correlation(x[of == culture], y[of == culture])
    ]
    if len(told) < 2:
        used = of == told[0] if told else np.zeros(len(of), dtype=bool)
        return overall(list(x[used]), list(y[used]), list(of[used])) if told else None
    found = [spearman(x[of == c], y[of == c], np.ones((1, (of == c).sum())))[0] for c in told]
    low, high = interval(np.array(found), (-1.0, 1.0))
    runs = int(np.isin(of, told).sum())
    return Correlation(float(np.mean(found)), float(low), float(high), runs, len(told), "cultures")


def spearman(x: Array, y: Array, weights: Array) -> Array:
    """Rank correlations [K] of x and y [n] in which run i counts weights[k, i] times; NaN where a side is flat."""
    counts = weights.sum(axis=1, keepdims=True)
    ranks = []
    for values in (x, y):
        before = (values[:, None] < values) + 0.5 * (values[:, None] == values)  # a tie counts half
        rank = weights @ before
        ranks.append(rank - (weights * rank).sum(axis=1, keepdims=True) / counts)
    one, other = ranks
    with np.errstate(invalid="ignore"):
        together = (weights * one * other).sum(axis=1)
        return np.asarray(
            together / np.sqrt((weights * one**2).sum(axis=1) * (weights * other**2).sum(axis=1))
        )


def _validity(metric: MetricSpec, truth: MetricSpec, runs: Sequence[Run]) -> MetricValidity:
    points = [
        (one, other, run.culture)
        for run in runs
        if (one := run.metric(metric.name)) is not None and (other := run.metric(truth.name)) is not None
    ]
    x, y, cultures = ([p[0] for p in points], [p[1] for p in points], [p[2] for p in points])
    signs = {"higher": 1, "lower": -1, "target_half": 0, "undirected": 0}
    expected = signs[metric.direction] * signs[truth.direction] or None
    return MetricValidity(metric, truth, overall(x, y, cultures), within(x, y, cultures), expected)


def _distinct(study: Study) -> Iterator[Run]:
    """Each run, but once where a model without training has the same scores under every seed."""
    seen: list[tuple[str, str, object]] = []
    for run in study.runs:
        key = (run.culture, run.variant, run.scores.get("metrics"))
        if key not in seen:
            seen.append(key)
            yield run


def _has_correlation(x: Array, y: Array) -> bool:
    return len(x) >= MIN_RUNS and bool(np.ptp(x) > 0) and bool(np.ptp(y) > 0)


def _fisher(value: float, error: float, units: int) -> tuple[float, float]:
    """The interval about a correlation whose z has this standard error, found from so many units."""
    from scipy.special import stdtrit

    if not math.isfinite(error):  # without one unit, a side is flat
        return -math.inf, math.inf
    z = math.atanh(min(max(value, -MAX_CORRELATION), MAX_CORRELATION))
    half = float(stdtrit(units - 1, (1 + CONFIDENCE) / 2)) * error
    return math.tanh(z - half), math.tanh(z + half)
