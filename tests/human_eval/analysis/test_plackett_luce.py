"""Worths have closed forms, agree with choix and a slow rewriting of ties, and their intervals hold the truth."""

from __future__ import annotations

import math
from itertools import pairwise, permutations

import choix
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

import simulated_surveys
from human_eval.analysis.simulated_survey import CULTURES, QUOTAS, Simulated, of_ranks
from scoft_hpc.human_eval.analysis import plackett_luce
from scoft_hpc.human_eval.analysis.bootstrap import resample
from scoft_hpc.human_eval.analysis.rankings import mean_ranks_of, select_rankings
from scoft_hpc.human_eval.demo import simulation
from surveys import SYSTEMS

RNG = np.random.default_rng(0)


def fitted(ranks: np.ndarray) -> np.ndarray:
    counted = plackett_luce.count_choices(of_ranks(ranks.tolist()))
    return plackett_luce.fit(
        counted.chosen.sum(axis=0, keepdims=True), counted.sets.sum(axis=0, keepdims=True)
    )[0]


def test_of_two_systems_they_are_log_odds_with_a_half_added() -> None:
    """7 wins, 2 losses, a tie: 8 and 3 with the half of each of the two ties."""
    ranks = [[1, 2]] * 7 + [[2, 1]] * 2 + [[1.5, 1.5]]
    low, high = -math.log((7 + 1) / (2 + 1)) / 2, math.log((7 + 1) / (2 + 1)) / 2
    assert fitted(np.array(ranks)) == pytest.approx([high, low], abs=1e-9)


@pytest.mark.parametrize("systems", [2, 3, 4, 6])
def test_choix_finds_the_same(systems: int) -> None:
    """Its data hold every ranking twice, and every pair once either way round: the tie that each pair is given."""
    theta = np.linspace(-1, 1, systems)
    orders = np.argsort(-(theta + RNG.gumbel(size=(60, systems))), axis=1)
    ranks = orders.argsort(axis=1) + 1.0
    data = [tuple(map(int, order)) for order in orders] * 2 + list(permutations(range(systems), 2))
    assert fitted(ranks) == pytest.approx(choix.ilsr_rankings(systems, data, tol=1e-10), abs=1e-6)


def test_choix_finds_the_same_of_pages_that_lack_a_system() -> None:
    orders = [(0, 1, 2), (2, 3), (3, 0), (1, 3, 2), (0, 2)]
    ranks = np.full((len(orders), 4), np.nan)
    for row, order in zip(ranks, orders, strict=True):
        row[list(order)] = np.arange(len(order)) + 1
    data = orders * 2 + list(permutations(range(4), 2))
    assert fitted(ranks) == pytest.approx(choix.ilsr_rankings(4, data, tol=1e-10), abs=1e-6)


def slow(ranks: np.ndarray) -> np.ndarray:
    """The mean log likelihood over all orders that a ranking leaves open, written out, and maximised blindly."""
    systems = ranks.shape[1]

    def log_likelihood(theta: np.ndarray, order: tuple[int, ...]) -> float:
        remaining = list(order)
        total = 0.0
        for system in order:
            total += theta[system] - math.log(sum(math.exp(theta[k]) for k in remaining))
            remaining.remove(system)
        return total

    def cost(theta: np.ndarray) -> float:
        total = 0.0
        for row in ranks:
            open_to = [
                order
                for order in permutations(range(systems))
                if all(row[a] <= row[b] for a, b in pairwise(order))
            ]
            total += sum(log_likelihood(theta, order) for order in open_to) / len(open_to)
        for i, j in permutations(range(systems), 2):
            total += 0.5 * log_likelihood(theta, (i, j))
        return -total

    optimum = minimize(cost, np.zeros(systems), method="BFGS", options={"gtol": 1e-7}).x
    return optimum - optimum.mean()


def test_ties_are_the_mean_over_the_orders_that_they_leave_open() -> None:
    ranks = np.array([[1, 2.5, 2.5, 4], [2, 2, 2, 4], [1.5, 1.5, 3, 4], [2.5, 2.5, 2.5, 2.5], [4, 3, 1, 2]])
    assert fitted(ranks) == pytest.approx(slow(ranks), abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 4), min_size=4, max_size=4), min_size=1, max_size=12),
    st.permutations(range(4)),
)
def test_they_are_finite_centred_and_follow_the_systems(rows: list[list[int]], order: list[int]) -> None:
    ranks = mean_ranks_of(np.array(rows, dtype=float))
    theta = fitted(ranks)
    assert np.isfinite(theta).all()
    assert theta.sum() == pytest.approx(0, abs=1e-8)
    assert fitted(ranks[:, order]) == pytest.approx(theta[order], abs=1e-6)
    assert fitted(5.0 - ranks).shape == theta.shape


def test_a_system_that_always_wins_is_finite_and_has_an_interval() -> None:
    rankings = of_ranks(
        [[1, 2, 3]] * 60, raters=[k // 12 for k in range(60)], pages=[k % 12 for k in range(60)]
    )
    estimates = plackett_luce.estimate_worths(rankings, resample(rankings.strata, np.random.default_rng(0)))
    assert np.isfinite([estimates.worth_low, estimates.worth_high]).all()
    assert (estimates.worth_low < estimates.worth).all() and (estimates.worth < estimates.worth_high).all()
    assert estimates.best.tolist() == [1, 0, 0]


def test_of_one_rater_there_is_no_interval_and_of_nobody_no_worth() -> None:
    alone = of_ranks([[1, 2], [2, 1], [1, 2]], raters=[0, 0, 0])
    estimates = plackett_luce.estimate_worths(alone, resample(alone.strata, np.random.default_rng(0)))
    assert np.isinf([estimates.worth_low, estimates.worth_high]).all() and np.isnan(estimates.best).all()
    nobody = of_ranks(np.zeros((0, 3)).tolist() or np.zeros((0, 3)))
    none = plackett_luce.estimate_worths(nobody, resample(nobody.strata, np.random.default_rng(0)))
    assert none.worth == pytest.approx([0, 0, 0])


def test_cultures_count_alike_however_many_raters_they_have() -> None:
    """Ten times the same rater changes nothing but the intervals."""
    korea, mexico = [[1, 2, 3]] * 4, [[3, 1, 2]] * 4
    few = of_ranks(
        korea + mexico, raters=[0] * 4 + [1] * 4, cultures=["korea", "mexico"], pages=list(range(8))
    )
    many = of_ranks(
        korea * 10 + mexico,
        raters=[k // 4 for k in range(40)] + [10] * 4,
        cultures=["korea"] * 10 + ["mexico"],
        pages=[k % 4 for k in range(44)],
    )
    theta = [
        plackett_luce.estimate_worths(f, resample(f.strata, np.random.default_rng(0))).worth
        for f in (few, many)
    ]
    # The more rankings, the less the ties that every pair is given weigh; the order and the shape stay.
    assert np.corrcoef(theta)[0, 1] > 0.999


def test_51_raters_tell_the_true_order(simulated: Simulated) -> None:
    for question in simulated.world.questions:
        table = simulated.results.table(question)
        order = [result.system for result in sorted(table.results, key=lambda result: result.worth.value)]
        assert order == list(simulated.world.systems)
        assert table.results[-1].best == pytest.approx(1, abs=0.01)


def test_intervals_hold_the_worths_that_countless_raters_of_the_kind_have() -> None:
    """Of ten surveys of 51 raters; 95 of 100 intervals hold one."""
    world = simulated_surveys.true_worths(SYSTEMS, CULTURES, ("culture",), culture_sd=0.2)
    true = np.array(list(simulated_surveys.limit_worths(world, "culture", CULTURES, 20_000).values()))
    hits = []
    for seed in range(10):
        raters = simulation.draw_raters(world.worths, QUOTAS, seed=seed)
        rankings = select_rankings(simulated_surveys.survey_of(world, raters)[1], SYSTEMS, "culture")
        estimates = plackett_luce.estimate_worths(
            rankings, resample(rankings.strata, np.random.default_rng(0), 200)
        )
        hits += list((estimates.worth_low <= true) & (true <= estimates.worth_high))
    assert np.mean(hits) >= 0.85
