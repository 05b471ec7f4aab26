"""Effect sizes, p-values and Holm's correction, against enumeration, hand-worked numbers and simulated studies."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from results.study_maker import Maker
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.results import study
from scoft_hpc.results.inference import (
    LEVEL,
    compare,
    comparisons,
    hedges,
    holm,
    t_test,
)
from scoft_hpc.results.statistics import Values, nest, units

SPREAD = (0.3, 0.2, 0.4)


def studies(
    number: int, cultures: int, seeds: int, samples: int = 4, centre: float = 0.0, seed: int = 0
) -> Iterator[Values]:
    """Normal differences, `SPREAD` between cultures, seeds and samples."""
    rng = np.random.default_rng(seed)
    shape = (number, cultures, seeds, samples)
    between = rng.normal(centre, SPREAD[0], (*shape[:2], 1, 1)) + rng.normal(0, SPREAD[1], (*shape[:3], 1))
    for one in between + rng.normal(0, SPREAD[2], shape):
        yield values_of(one)


def values_of(differences: NDArray[np.float64]) -> Values:
    """[cultures, seeds, samples] as values."""
    return {
        (f"c{c:02d}", s): {str(k): float(v) for k, v in enumerate(run)}
        for c, culture in enumerate(differences)
        for s, run in enumerate(culture)
    }


@pytest.mark.parametrize("n", [5, 12])
def test_effect_size_is_unbiased_and_its_interval_covers(n: int) -> None:
    truth, number = 0.8, 3000
    effects = [hedges(one) for one in np.random.default_rng(n).normal(truth, 1, (number, n))]
    estimates = np.array([(e.value, e.low, e.high) for e in effects if e is not None])
    assert len(estimates) == number
    error = estimates[:, 0].std() / math.sqrt(number)
    assert estimates[:, 0].mean() == pytest.approx(truth, abs=4 * error)
    assert 0.94 <= np.mean((estimates[:, 1] <= truth) & (truth <= estimates[:, 2])) <= 0.96


def test_effect_size_by_hand() -> None:
    """Mean 2, standard deviation 1, two degrees of freedom: the bias is gamma(1) / gamma(1/2) = 1 / sqrt(pi)."""
    effect = hedges(np.array([1.0, 2.0, 3.0]))
    assert effect is not None
    assert effect.value == pytest.approx(2 / math.sqrt(math.pi))
    for bound, share in ((effect.low, 0.975), (effect.high, 0.025)):
        assert stats.nct.cdf(2 * math.sqrt(3), 2, bound * math.sqrt(3)) == pytest.approx(share, abs=1e-5)
    mirrored = hedges(np.array([-1.0, -2.0, -3.0]))
    assert mirrored is not None
    assert (mirrored.value, mirrored.low, mirrored.high) == (-effect.value, -effect.high, -effect.low)


def test_effect_size_of_almost_equal_units_ends() -> None:
    """Above a t of 1000 the inversion is by its limit; the two agree where they meet."""
    just_below, just_above = (hedges(1 + np.array([-1, 0, 1, 0]) * s) for s in (2.5e-3, 2.4e-3))
    assert just_below is not None
    assert just_above is not None
    for below, above in ((just_below.low, just_above.low), (just_below.high, just_above.high)):
        assert below / just_below.value == pytest.approx(above / just_above.value, rel=1e-3)
    assert hedges(1 + np.array([-1, 0, 1, 0]) * 1e-9) is not None
    assert hedges(np.full(4, 0.1)) is None
    assert hedges(np.array([0.1, 0.3])) is None


def test_t_test_is_scipys() -> None:
    for differences in np.random.default_rng(0).normal(0.5, 1, (10, 5)):
        assert t_test(differences) == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)


def test_holm_by_hand() -> None:
    """Sorted .01, .02, .03, .04 times 4, 3, 2, 1 give .04, .06, .06, .04; none may be below the one before it."""
    p_values = holm({"c": 0.03, "a": 0.01, "d": 0.04, "b": 0.02})
    assert list(p_values) == ["c", "a", "d", "b"]
    assert p_values == pytest.approx({"a": 0.04, "b": 0.06, "c": 0.06, "d": 0.06})
    assert holm({"a": 0.4, "b": 0.9}) == pytest.approx({"a": 0.8, "b": 0.9})
    assert holm({}) == {}


def test_holm_rejects_what_its_steps_reject() -> None:
    """The procedure as published: the smallest against level / m, the next against level / (m - 1), until one fails."""
    for ps in np.random.default_rng(0).uniform(0, 0.1, (200, 6)):
        rejected = set[int]()
        for rank, i in enumerate(np.argsort(ps)):
            if ps[i] > LEVEL / (6 - rank):
                break
            rejected.add(int(i))
        corrected = holm(dict(enumerate(ps)))
        assert {i for i, p in corrected.items() if p <= LEVEL} == rejected


def test_correction_is_over_the_whole_family() -> None:
    """Alone, the first difference holds; among ten others that do not, it does not any more."""
    likely = values_of(np.array([0.1, 0.2, 0.3, 0.15, 0.42])[:, None, None])
    alone = compare({"it": likely})["it"]
    assert (alone.over, alone.units, alone.holds) == ("cultures", 5, True)
    assert alone.corrected == alone.p
    others = {str(i): values for i, values in enumerate(studies(10, 5, 1, seed=1))}
    among = compare({"it": likely, **others})
    assert among["it"].p == alone.p
    assert among["it"].corrected == pytest.approx(11 * (alone.p or 0))
    assert not among["it"].holds
    assert among["it"].difference == alone.difference


def test_the_unit_is_the_highest_repeated_level() -> None:
    numbers = np.random.default_rng(0).normal(0, 1, (3, 2, 4))
    for nested, over, expected, samples in (
        (numbers, "cultures", numbers.mean((1, 2)), 3 * 4),
        (numbers[:1], "seeds", numbers[0].mean(1), 2 * 4),
        (numbers[:1, :1], "samples", numbers[0, 0], 4),
    ):
        estimate = units(nest(values_of(nested)))
        assert (estimate.over, estimate.samples) == (over, samples)
        np.testing.assert_allclose(estimate.means, expected)


def test_what_cannot_be_told_is_not_told() -> None:
    """One number, and two that agree; they do not count in the correction. A family of nothing is nothing."""
    family: dict[str, Values] = {
        "one": {("a", 0): {"": 0.3}},
        "equal": {("a", 0): {"": 0.3}, ("b", 0): {"": 0.3}},
        "nothing": {},
        "told": values_of(np.arange(1.0, 6.0)[:, None, None]),
    }
    results = compare(family)
    assert list(results) == ["one", "equal", "told"]
    for name in ("one", "equal"):
        assert (
            results[name].p,
            results[name].corrected,
            results[name].holds,
        ) == (None, None, False)
        assert results[name].effect is None
    assert results["told"].corrected == results["told"].p
    assert compare({}) == {}


def test_a_study_is_one_family(finished: Maker) -> None:
    loaded = study.read(finished.folder)
    measures = [METRICS["default_style"], METRICS["in_style"]]
    family = comparisons(loaded, measures, ["ldm", "m", "mp", "mpc"], "base")
    assert list(family) == [(m.name, v) for m in measures for v in ("ldm", "m", "mp", "mpc")]
    one = family["default_style", "mpc"]
    assert one.difference.value < 0
    assert one.over == "cultures"
    assert one.p is not None
    assert one.corrected is not None
    assert one.p <= one.corrected <= 8 * one.p
