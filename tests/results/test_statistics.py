"""Means, paired differences and their intervals, on data whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scoft_hpc.results import study
from scoft_hpc.results.measures import MEASURES
from scoft_hpc.results.statistics import Values, contrast, level, mean, paired

from .conftest import Maker


def simulate(
    rng: np.random.Generator,
    cultures: int,
    seeds: int,
    samples: int,
    spread: tuple[float, float, float],
    centre: float,
) -> Values:
    """Normal values with the given standard deviations between cultures, seeds and samples."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for c in range(cultures):
        culture = centre + rng.normal(0, spread[0])
        for s in range(seeds):
            run = culture + rng.normal(0, spread[1]) + rng.normal(0, spread[2], samples)
            found[f"c{c:02d}", s] = {str(k): float(v) for k, v in enumerate(run)}
    return found


@pytest.mark.parametrize(
    ("cultures", "seeds", "samples", "spread"),
    [
        (20, 3, 12, (0.1, 0.05, 0.5)),
        (20, 1, 24, (0.0, 0.0, 0.5)),
        (8, 3, 24, (0.3, 0.05, 0.1)),
        (5, 3, 24, (0.1, 0.05, 0.5)),
        (1, 6, 24, (0.0, 0.1, 0.3)),
        (1, 1, 24, (0.0, 0.0, 0.5)),
    ],
    ids=["many", "samples only", "cultures differ", "five", "one culture", "one run"],
)
def test_95_percent_intervals_cover_about_95_percent(
    cultures: int, seeds: int, samples: int, spread: tuple[float, float, float]
) -> None:
    """The mean that the interval is to cover is the population's: of cultures, or of what was repeated of one."""
    rng, studies, hits = np.random.default_rng(7), 500, 0
    for i in range(studies):
        centre = float(rng.normal())
        estimate = mean(simulate(rng, cultures, seeds, samples, spread, centre), draws=800, seed=i)
        assert estimate is not None
        hits += estimate.low <= centre <= estimate.high
    assert 0.92 <= hits / studies <= 0.98  # ± 3 standard errors of 500 studies at .95


def test_no_difference_is_found_where_there_is_none() -> None:
    """Also with a strong effect of the culture on both sides, which pairing takes out."""
    rng, studies, found = np.random.default_rng(3), 300, 0
    for i in range(studies):
        base = simulate(rng, 8, 2, 6, (1.0, 0.0, 0.1), 0.0)
        other = {key: {k: v + rng.normal(0, 0.2) for k, v in run.items()} for key, run in base.items()}
        estimate = mean(paired(other, base), draws=800, seed=i)
        assert estimate is not None
        assert estimate.half is not None
        assert estimate.half < 0.3
        found += estimate.holds
    assert found / studies <= 0.08


def test_every_culture_and_every_seed_counts_alike() -> None:
    found = {("a", 0): {"x": 0.0, "y": 0.0, "z": 0.0}, ("b", 0): {"x": 1.0}, ("b", 1): {"x": 3.0}}
    estimate = mean(found)
    assert estimate is not None
    assert estimate.value == pytest.approx(1.0)
    assert (estimate.cultures, estimate.runs, estimate.samples) == (2, 3, 5)


def test_same_numbers_give_the_same_interval() -> None:
    found = simulate(np.random.default_rng(0), 5, 2, 8, (0.1, 0.1, 0.1), 0.0)
    assert mean(found) == mean(dict(reversed(found.items())))


def test_nothing_and_one_number_have_no_interval() -> None:
    assert mean({}) is None
    for found in ({("a", 0): {"": 0.3}}, {("a", 0): {"": 0.3}, ("b", 0): {"": 0.3}}):
        estimate = mean(found, bounds=(0, 1))
        assert estimate is not None
        assert (estimate.value, estimate.half, estimate.holds) == (0.3, None, False)


def test_bounds_are_kept() -> None:
    found = {(c, 0): {"": v} for c, v in zip("abcde", (0, 0, 0.1, 0, 0.05), strict=True)}
    estimate = mean(found, bounds=(0, 1))
    assert estimate is not None
    assert estimate.low == 0
    assert math.isclose(estimate.value, 0.03)


def test_pairs_share_culture_seed_and_sample() -> None:
    these: Values = {("a", 0): {"x": 1.0, "y": 0.0}, ("a", 1): {"x": 1.0}, ("b", 0): {"x": 1.0}}
    those: Values = {("a", 0): {"x": 0.25, "z": 1.0}}
    assert paired(these, those) == {("a", 0): {"x": 0.75}}
    assert paired({("a", 0): {"x": 1.0}}, {("a", 0): {"y": 0.5}}) == {("a", 0): {"": 0.5}}


def test_samples_give_the_runs_own_metrics(finished: Maker) -> None:
    """What the statistics compute from samples is what scores.json says of the run."""
    found = study.read(finished.folder)
    for measure in MEASURES.values():
        for variant in found.variants:
            metrics = [run.metric(measure.name) for run in found.of(variant=variant)]
            estimate = level(found, measure, variant)
            assert estimate is not None
            assert estimate.value == pytest.approx(np.mean([m for m in metrics if m is not None]))


def test_contrast_is_the_difference_of_levels(finished: Maker) -> None:
    found, measure = study.read(finished.folder), MEASURES["default_style"]
    levels = {variant: level(found, measure, variant) for variant in ("base", "mpc")}
    estimate = contrast(found, measure, "mpc", "base")
    assert estimate is not None
    assert levels["mpc"] is not None
    assert levels["base"] is not None
    assert estimate.value == pytest.approx(levels["mpc"].value - levels["base"].value)
    assert -1 <= estimate.low < estimate.value < 0
