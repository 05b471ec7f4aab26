"""How many units a difference needs, against simulated studies of that many."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from scoft_hpc.results.power import (
    POWER,
    Components,
    SampleSize,
    components,
    cultures_needed,
    power,
    seeds_needed,
)
from scoft_hpc.results.statistics import Values

CULTURES, SEEDS = 0.3, 0.5
KNOWN = Components(cultures=CULTURES**2, seeds=SEEDS**2, n_cultures=5, n_seeds=3)


def found_share(difference: float, cultures: int, seeds: int, number: int = 20_000) -> float:
    """Share of simulated studies in which the t test over cultures' means finds the difference."""
    rng = np.random.default_rng(cultures * 100 + seeds)
    means = rng.normal(difference, CULTURES, (number, cultures)) + rng.normal(
        0, SEEDS, (number, cultures, seeds)
    ).mean(2)
    return float(np.mean(stats.ttest_1samp(means, 0, axis=1).pvalue <= 0.05))


@pytest.mark.parametrize(
    ("difference", "cultures", "seeds"), [(0.5, 5, 3), (0.3, 8, 3), (0.1, 3, 1), (0, 5, 2)]
)
def test_power_is_how_often_a_simulated_study_finds_it(difference: float, cultures: int, seeds: int) -> None:
    error = math.sqrt((CULTURES**2 + SEEDS**2 / seeds) / cultures)
    assert power(error, difference, cultures) == pytest.approx(
        found_share(difference, cultures, seeds), abs=0.015
    )


@pytest.mark.parametrize("units", [2, 3, 5, 100])
@pytest.mark.parametrize("level", [0.05, 0.0005])
def test_power_is_scipys_noncentral_t_and_stays_a_number_beyond_it(units: int, level: float) -> None:
    critical = stats.t.isf(level / 2, units - 1)
    for shift in (0.5, 2.0, 4.0):
        expected = stats.nct.sf(critical, units - 1, shift) + stats.nct.sf(critical, units - 1, -shift)
        assert power(1.0, shift, units, level=level) == pytest.approx(expected, abs=1e-4)
    rising = [
        power(1.0, shift, units, level=level) for shift in (0.0, 1.0, 10.0, 30.0, 37.0, 100.0, 1e3, 1e6)
    ]
    assert rising == sorted(rising)
    assert rising[0] == pytest.approx(level, abs=1e-4)
    assert rising[-1] == pytest.approx(1.0, abs=1e-3)


def test_cultures_needed_are_enough_and_no_more_than_that() -> None:
    needed = cultures_needed(KNOWN, 0.35)
    assert needed is not None
    assert needed.total is not None
    assert needed.more == needed.total - 5 > 0
    assert found_share(0.35, needed.total, 3) >= POWER - 0.01
    assert found_share(0.35, needed.total - 1, 3) < POWER + 0.01


def test_seeds_needed_are_enough_and_no_more_than_that() -> None:
    needed = seeds_needed(KNOWN, 0.6)
    assert needed is not None
    assert needed.total is not None
    assert needed.more == needed.total - 3 > 0
    assert found_share(0.6, 5, needed.total) >= POWER - 0.01
    assert found_share(0.6, 5, needed.total - 1) < POWER + 0.01


def test_one_culture_needs_the_textbooks_number() -> None:
    """Half a standard deviation takes 34 pairs (Cohen, 1988, and any table since)."""
    alone = Components(cultures=None, seeds=4.0, n_cultures=1, n_seeds=10)
    assert seeds_needed(alone, 1.0) == seeds_needed(alone, -1.0) == SampleSize(total=34, more=24)
    assert seeds_needed(alone, 10.0) == SampleSize(total=3, more=0)
    assert cultures_needed(alone, 1.0) is None


def test_seeds_alone_cannot_always_be_enough() -> None:
    """Cultures that differ this much leave a floor that no number of seeds goes below."""
    assert seeds_needed(KNOWN, 0.2) == SampleSize(None, None)
    assert cultures_needed(KNOWN, 0.0) == SampleSize(None, None, "cultures")
    assert seeds_needed(Components(0.1, None, 5, 1), 0.2) is None


def test_a_stricter_level_needs_more() -> None:
    usual, strict = cultures_needed(KNOWN, 0.35), cultures_needed(KNOWN, 0.35, level=0.05 / 8)
    assert usual is not None
    assert strict is not None
    assert (strict.total or 0) > (usual.total or 0)


def test_no_spread_needs_the_least() -> None:
    still = Components(cultures=0.0, seeds=0.0, n_cultures=4, n_seeds=2)
    assert cultures_needed(still, 0.1) == SampleSize(total=2, more=0, of="cultures")
    assert seeds_needed(still, 0.1) == SampleSize(total=1, more=0)


def test_components_by_hand() -> None:
    """Runs 1, 3 and 6, 10: within, (2 + 8) / 2 = 5; between the means 2 and 8, 18 - 5 / 2 = 15.5."""
    values: Values = {
        ("a", 0): {"x": 0.0, "y": 2.0},
        ("a", 1): {"x": 3.0},
        ("b", 0): {"x": 6.0},
        ("b", 1): {"x": 10.0},
    }
    assert components(values) == Components(cultures=15.5, seeds=5.0, n_cultures=2, n_seeds=2.0)
    single = {key: run for key, run in values.items() if key[1] == 0}
    assert components(single) == Components(cultures=12.5, seeds=None, n_cultures=2, n_seeds=1.0)
    one = {key: run for key, run in values.items() if key[0] == "a"}
    assert components(one) == Components(cultures=None, seeds=2.0, n_cultures=1, n_seeds=2.0)


def test_components_are_unbiased_also_of_uneven_studies() -> None:
    rng, estimates = np.random.default_rng(0), []
    for _ in range(2000):
        values: Values = {
            (culture, s): {"": value + rng.normal(0, SEEDS)}
            for culture, seeds in zip("abcde", (1, 2, 3, 4, 5), strict=True)
            for value in [rng.normal(0, 2.0)]
            for s in range(seeds)
        }
        one = components(values)
        assert one.cultures is not None
        assert one.seeds is not None
        estimates.append((one.cultures, one.seeds))
    means = np.mean(estimates, axis=0)
    assert means == pytest.approx([4.0, SEEDS**2], rel=0.06)
