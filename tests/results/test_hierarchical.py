"""The hierarchical bootstrap, and why it is not the interval that is reported."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from scoft_hpc.results.hierarchical import hierarchical, redraw
from scoft_hpc.results.statistics import Values, mean


def test_redrawn_means_are_those_of_a_full_enumeration() -> None:
    """Two cultures, one of two seeds: 2 ** 2 draws of cultures, 2 ** 2 of the one's seeds each time it is drawn."""
    tree = [[np.array([0.0]), np.array([1.0])], [np.array([4.0])]]
    halves = {0: [0.0, 0.5, 0.5, 1.0], 1: [4.0] * 4}
    expected = [
        (one + other) / 2
        for first, second in itertools.product((0, 1), repeat=2)
        for one, other in itertools.product(halves[first], halves[second])
    ]
    drawn = redraw(tree, 40_000, np.random.default_rng(0))
    for value in set(expected):
        share = expected.count(value) / len(expected)
        assert np.mean(drawn == value) == pytest.approx(share, abs=0.01)
    assert set(drawn) == set(expected)


def test_samples_of_a_prompt_come_along_together() -> None:
    """Two prompts of two samples each: a mean is one of three, not one of many."""
    found: Values = {
        ("a", 0): {
            f"samples/p{p:02d}-s{s:02d}.png": v
            for (p, s), v in zip(np.ndindex(2, 2), (0, 2, 4, 8), strict=True)
        }
    }
    estimate = hierarchical(found)
    assert estimate is not None
    assert (estimate.value, estimate.low, estimate.high) == (3.5, 1.0, 6.0)


def test_same_mean_other_interval() -> None:
    rng = np.random.default_rng(0)
    found: Values = {
        (c, s): {str(k): v for k, v in enumerate(rng.normal(0, 1, 6))} for c in "abc" for s in (0, 1)
    }
    one, other = mean(found), hierarchical(found, bounds=(-0.1, 0.2))
    assert one is not None
    assert other is not None
    assert (one.value, one.cultures, one.runs, one.samples) == (
        other.value,
        other.cultures,
        other.runs,
        other.samples,
    )
    assert (other.low, other.high) == (-0.1, 0.2)
    assert hierarchical({}) is None
    alone = hierarchical({("a", 0): {"": 0.3}})
    assert alone is not None
    assert alone.half is None


@pytest.mark.parametrize(
    ("spread", "low", "high"), [((1.0, 0.3, 0.5), 0.0, 0.90), ((0.05, 0.05, 1.0), 0.97, 1.0)]
)
def test_it_covers_too_seldom_or_too_often_where_the_other_is_right(
    spread: tuple[float, float, float], low: float, high: float
) -> None:
    """Five cultures of three seeds: where cultures differ it misses few cultures' tails, and where they do not, it
    counts the samples' noise three times."""
    rng, number, hits = np.random.default_rng(2), 300, np.zeros(2)
    for i in range(number):
        x = rng.normal(0, spread[0], (5, 1, 1)) + rng.normal(0, spread[1], (5, 3, 1))
        x = x + rng.normal(0, spread[2], (5, 3, 8))
        found = {(f"c{c}", s): dict(zip("abcdefgh", x[c, s], strict=True)) for c, s in np.ndindex(5, 3)}
        for k, method in enumerate((mean, hierarchical)):
            estimate = method(found, draws=400, seed=i)
            assert estimate is not None
            hits[k] += estimate.low <= 0 <= estimate.high
    assert 0.91 <= hits[0] / number <= 0.985  # ± 3 standard errors at .95
    assert low <= hits[1] / number <= high
