"""docs/toy-metrics.md, as it is written from a study whose truth is known."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import metric_validity as bench

from scoft_hpc.config.metrics import METRICS
from scoft_hpc.results.metric_validity import Correlation, MetricValidity


def of(low: float, high: float, expected: int | None) -> MetricValidity:
    one = Correlation((low + high) / 2, low, high, runs=12, cultures=3, over="cultures")
    return MetricValidity(METRICS["kid"], METRICS["in_style"], one, one, expected)


@pytest.mark.parametrize(
    ("validity", "verdict"),
    [
        (of(-0.9, -0.2, -1), "yes"),
        (of(0.2, 0.9, -1), "the other way round"),
        (of(0.2, 0.9, 1), "yes"),
        (of(-0.2, 0.9, 1), "cannot be told"),
        (of(0.2, 0.9, None), "–"),
        (of(float("-inf"), float("inf"), 1), "cannot be told"),
        (MetricValidity(METRICS["kid"], METRICS["in_style"], None, None, -1), "–"),
    ],
)
def test_a_verdict_is_about_the_sign_that_a_good_metric_has(validity: MetricValidity, verdict: str) -> None:
    assert bench.verdict(validity) == verdict


def test_a_correlation_has_its_interval() -> None:
    assert bench.with_interval(of(-0.9, -0.2, -1).within) == "−.55 (−.90 … −.20)"
    assert bench.with_interval(None) == "–"
    assert bench.with_interval(Correlation(0.5, float("-inf"), float("inf"), 4, 1, "runs")) == ".50"
