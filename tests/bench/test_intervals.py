"""Simulated studies with a known truth: intervals cover, tests find nothing where nothing is, few families err."""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

import intervals
from intervals import MEANS, NULLS, Scenario

STUDIES = 3000
ERROR = math.sqrt(0.05 * 0.95 / STUDIES)
"""The simulation's own: 0.4 points."""
NORMAL = [s for s in MEANS if s.name.startswith("normal")]
BOUNDED = [s for s in MEANS if s not in NORMAL]


def named(scenario: Scenario) -> str:
    return scenario.name


@pytest.mark.parametrize("cultures", intervals.CULTURES)
@pytest.mark.parametrize("scenario", NORMAL, ids=named)
def test_95_percent_intervals_cover_95_percent_within_2(scenario: Scenario, cultures: int) -> None:
    assert 0.93 <= intervals.coverage(scenario, cultures, STUDIES).share <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize("cultures", intervals.CULTURES)
@pytest.mark.parametrize("scenario", BOUNDED, ids=named)
def test_skewed_shares_and_their_differences_are_covered_no_less(scenario: Scenario, cultures: int) -> None:
    """Few cultures near a bound cannot tell: intervals that hold half of all values cover more than 95 %."""
    coverage = intervals.coverage(scenario, cultures, STUDIES)
    assert coverage.share >= 0.93
    if scenario.shares:
        assert coverage.without == 0
    if cultures >= 5 and scenario.name in ("share .50, spread out", "difference .94 to .20"):
        assert coverage.share <= 0.97


def test_neither_students_nor_the_hierarchical_interval_does() -> None:
    """The first where shares are near their floor, the second wherever cultures differ, or hardly do."""
    (floor,) = (s for s in MEANS if s.name == "share .05")
    assert intervals.coverage(floor, 5, STUDIES, intervals.student).share < 0.90
    differ, alike = NORMAL
    assert intervals.coverage(differ, 5, 500, intervals.hierarchical).share < 0.90
    assert intervals.coverage(alike, 5, 500, intervals.hierarchical).share > 0.97


@pytest.mark.slow
@pytest.mark.parametrize("cultures", [2, 5])
@pytest.mark.parametrize("scenario", NULLS, ids=named)
def test_what_is_not_there_is_found_at_most_at_the_level(scenario: Scenario, cultures: int) -> None:
    families, family = 1000, 10
    alone, after = intervals.false_positives(scenario, cultures, families, family)
    assert alone <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / (families * family))
    assert after <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / families)
    if scenario is NULLS[0]:
        assert alone > 0.04
        assert after > 0.02


def test_redrawn_means_are_those_of_a_full_enumeration() -> None:
    """Two cultures of two seeds of one prompt: 2 ** 2 draws of cultures, 2 ** 2 of the seeds of each that is drawn."""
    values = np.array([[0.0, 1.0], [4.0, 6.0]])
    halves = [[np.mean(pair) for pair in itertools.product(seeds, repeat=2)] for seeds in values]
    expected = [
        (one + other) / 2
        for first, second in itertools.product((0, 1), repeat=2)
        for one, other in itertools.product(halves[first], halves[second])
    ]
    studies = np.broadcast_to(values[None, :, :, None], (400, 2, 2, 1))
    drawn = intervals.redraw(studies, 100, np.random.default_rng(0)).ravel()
    assert set(drawn) == set(expected)
    for value in set(expected):
        assert np.mean(drawn == value) == pytest.approx(expected.count(value) / len(expected), abs=0.01)


@pytest.mark.parametrize("scenario", [*MEANS, *NULLS], ids=named)
def test_the_truth_is_the_mean_of_what_is_drawn(scenario: Scenario) -> None:
    drawn = scenario.draw(np.random.default_rng(9), 6000, 2).mean((1, 2, 3, 4))
    assert drawn.mean() == pytest.approx(scenario.truth, abs=4 * drawn.std() / math.sqrt(len(drawn)))
