"""Rates against the base, the sign-flip test and its errors, and how resampled raters are drawn."""

from __future__ import annotations

import math
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from human_eval.analysis.simulated_survey import Simulated, of_ranks
from scoft_hpc.human_eval.analysis import sign_flip, win_rates
from scoft_hpc.human_eval.analysis.bootstrap import equal_strata_weights, resample
from scoft_hpc.human_eval.analysis.win_rates import Tally
from scoft_hpc.results.holm import holm

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "bench"))

import survey_intervals


def test_wins_count_ties_half_and_leave_out_what_a_page_does_not_show() -> None:
    rankings = of_ranks([[2, 1], [1.5, 1.5], [1, 2], [1, np.nan]], raters=[0, 0, 1, 1])
    tally = win_rates.count_wins(rankings, "a")
    assert tally.won[:, 1].tolist() == [1.5, 0]
    assert tally.total[:, 1].tolist() == [2, 1]
    assert tally.total[:, 0].tolist() == [0, 0]


def test_a_rate_has_its_share_and_unanimous_raters_have_an_interval() -> None:
    tally = Tally(np.array([10.0, 10, 10]), np.array([10.0, 10, 10]))
    rate = win_rates.estimate_rate(
        tally, np.zeros(3, dtype=int), resample(np.zeros(3, dtype=int), np.random.default_rng(0))
    )
    assert rate.value == 1 == rate.high
    least = 30.5 / 0.5 * math.exp(-1.96 * math.sqrt(1 / 30.5 + 1 / 0.5))
    assert rate.low == pytest.approx(least / (1 + least), abs=1e-4)


@pytest.mark.slow
def test_the_bootstrap_of_a_mean_has_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(size=6)
    weights = resample(np.zeros(6, dtype=int), np.random.default_rng(2), 200_000).weights
    assert weights.sum(axis=1) == pytest.approx(np.full(len(weights), 6))
    assert (weights @ values / 6).std() == pytest.approx(values.std(ddof=1) / math.sqrt(6), rel=0.01)


def test_raters_are_drawn_within_their_cultures_and_single_ones_together() -> None:
    strata = np.array([0, 0, 1, 1, 1, 2, 3])
    drawn = resample(strata, np.random.default_rng(0), 500)
    assert drawn.weights[:, :2].sum(axis=1) == pytest.approx(np.full(500, 2))
    assert drawn.weights[:, 2:5].sum(axis=1) == pytest.approx(np.full(500, 3))
    assert drawn.weights[:, 5:].sum(axis=1) == pytest.approx(np.full(500, 2))
    assert resample(np.array([0]), np.random.default_rng(0)).dof == 0
    assert resample(np.zeros(0, dtype=int), np.random.default_rng(0)).dof == 0


@pytest.mark.parametrize(
    ("sizes", "dof"),
    [
        ((10,) * 5, 45),  # raters less cultures
        ((2, 40), (1 / 2 + 1 / 40) ** 2 / (1 / 4 + 1 / 1600 / 39)),
        ((1,) * 5, 4),
        ((1, 10), 1.1**2 / (1 + 0.01 / 9)),
        ((2, 3, 1, 1), (1 / 2 + 1 / 3 + 2) ** 2 / (1 / 4 + 1 / 9 / 2 + 4)),
    ],
)
def test_the_smallest_culture_has_the_say_in_the_degrees_of_freedom(
    sizes: tuple[int, ...], dof: float
) -> None:
    strata = np.repeat(np.arange(len(sizes)), sizes)
    assert resample(strata, np.random.default_rng(0), 2).dof == pytest.approx(dof)


def test_single_raters_of_five_cultures_have_the_standard_error_of_their_mean() -> None:
    values, strata = np.array([1.0, 4, 2, 8, 5]), np.arange(5)
    weights = resample(strata, np.random.default_rng(0), 50_000).weights
    mean = equal_strata_weights(weights, strata, np.full(5, 12.0)) @ values / 5
    assert mean.std() == pytest.approx(values.std(ddof=1) / math.sqrt(5), rel=0.02)


def test_a_culture_with_a_single_rater_beside_others_is_not_taken_for_certain() -> None:
    strata = np.array([0] * 4 + [1] * 6 + [2])
    drawn = resample(strata, np.random.default_rng(0), 500).weights
    assert drawn[:, 10].std() > 0.5
    assert drawn[:, :4].sum(axis=1) + drawn[:, 10] == pytest.approx(np.full(500, 5)), (
        "with the smallest other"
    )


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(2, 40), (12, 10, 11, 9, 1), (1, 1, 1, 10, 10)])
def test_intervals_cover_where_cultures_have_unequal_numbers_of_raters(sizes: tuple[int, ...]) -> None:
    """Of raters' own chances to prefer a system, .2 to .8, twelve comparisons each."""
    strata, rng = np.repeat(np.arange(len(sizes)), sizes), np.random.default_rng(0)
    covered = []
    for _ in range(150):
        won = rng.binomial(12, rng.uniform(0.2, 0.8, len(strata))).astype(float)
        rate = win_rates.estimate_rate(
            Tally(won, np.full(len(strata), 12.0)), strata, resample(strata, rng, 200)
        )
        covered.append(rate.low <= 0.5 <= rate.high)
    assert np.mean(covered) >= 0.92


def test_cultures_are_weighed_to_one_size() -> None:
    weights = equal_strata_weights(np.ones((1, 3)), np.array([0, 0, 1]), np.array([3.0, 3, 2]))
    assert weights[0] * [3, 3, 2] == pytest.approx([2, 2, 4])


def test_flips_of_few_raters_are_counted_out() -> None:
    """Written out: of 2^5 flips, how many sums are as far from zero."""
    net = np.array([4.0, 2, -1, 3, 0])
    tally = Tally((net + 6) / 2, np.full(5, 6.0))
    sums = [abs(np.dot(signs, net)) for signs in product((1, -1), repeat=5)]
    expected = np.mean(np.array(sums) >= 8)
    p = sign_flip.sign_flip(tally, np.zeros(5, dtype=int), np.random.default_rng(0))
    assert float(p) == pytest.approx(expected)


def test_drawn_flips_are_near_those_counted_out() -> None:
    net = np.random.default_rng(3).normal(1, 2, size=12)
    tally = Tally((net + 20) / 2, np.full(12, 20.0))
    strata = np.zeros(12, dtype=int)
    exact = sign_flip.sign_flip(tally, strata, np.random.default_rng(0), 1 << 12)
    drawn = sign_flip.sign_flip(tally, strata, np.random.default_rng(0), 4000)
    assert float(drawn) == pytest.approx(float(exact), abs=0.02)


def test_ties_alone_tell_nothing() -> None:
    tally = Tally(np.full(8, 3.0), np.full(8, 6.0))
    assert np.isnan(sign_flip.sign_flip(tally, np.zeros(8, dtype=int), np.random.default_rng(0)))


def test_holm_is_over_questions_and_systems_and_the_primary_comparison_stands_apart(
    simulated: Simulated,
) -> None:
    results = simulated.results
    assert len(results.tests) == 4 * 3 - 1
    assert ("culture", "mpc") not in {(test.question, test.system) for test in results.tests}
    ps = {(test.question, test.system): test.p for test in results.tests}
    assert all(p is not None for p in ps.values())
    assert holm(ps) == {(test.question, test.system): test.p_holm for test in results.tests}
    assert results.primary.test.p_holm is None
    assert results.primary.test.p == pytest.approx(1 / (sign_flip.N_FLIPS + 1))


@pytest.mark.slow
@pytest.mark.parametrize("null", survey_intervals.NULLS, ids=lambda population: population.name)
def test_what_is_not_there_is_found_at_most_at_the_level(null: survey_intervals.Population) -> None:
    """Of 3 × 60 comparisons: 5 % and the simulation's own error, threefold."""
    flips, _ = survey_intervals.false_positives(null, (10,), 60)
    assert flips <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 60)


@pytest.mark.slow
def test_intervals_cover_and_percentiles_of_few_raters_do_not() -> None:
    coverage = survey_intervals.covered(survey_intervals.POPULATIONS[1], (5,), 60)
    for name in ("worth", "first", "win"):
        assert coverage[name] >= 0.93
    assert coverage["worth, percentiles"] < 0.92
