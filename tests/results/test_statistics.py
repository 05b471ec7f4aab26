"""Means, paired differences and their intervals, on data whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from results.study_maker import Maker
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.results import study
from scoft_hpc.results.statistics import (
    Values,
    interval,
    level,
    mean,
    of_difference,
    of_units,
    paired,
    values,
)
from scoft_hpc.study import atomic


def test_without_bounds_the_interval_is_students() -> None:
    for means in np.random.default_rng(0).normal(0.3, 1, (5, 4)):
        expected = stats.ttest_1samp(means, 0).confidence_interval()
        assert interval(means) == pytest.approx((expected.low, expected.high))
        far = interval(means, (-1e4, 1e4))  # bounds that are far away do not matter
        assert far == pytest.approx((expected.low, expected.high), rel=1e-3)


def test_a_runs_share_has_wilsons_interval() -> None:
    """As statistics packages have it, with Student's quantile in place of the normal's."""
    n, k = 4000, 400
    run = {str(i): float(i < k) for i in range(n)}
    estimate = mean({("a", 0): run}, bounds=(0, 1))
    expected = stats.binomtest(k, n).proportion_ci(method="wilson")
    assert estimate is not None
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), abs=2e-5)


def test_no_sample_of_a_share_still_has_an_interval() -> None:
    """0 of 5 times 24: up to t² / (n + t²), with Student's t of four degrees of freedom."""
    none = {(c, s): {str(i): 0.0 for i in range(24)} for c in "abcde" for s in range(2)}
    none["a", 1]["x"] = 0.0  # two seeds that do not agree sample by sample: they stay two
    estimate, t = mean(none, bounds=(0, 1)), 2.776445
    assert estimate is not None
    assert (estimate.value, estimate.low) == (0.0, 0.0)
    assert estimate.high == pytest.approx(t**2 / (5 * 24 + 0.5 + t**2), rel=1e-5)
    all_of_them = {key: dict.fromkeys(run, 1.0) for key, run in none.items()}
    mirrored = mean(all_of_them, bounds=(0, 1))
    assert mirrored is not None
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - estimate.high, 1.0))
    as_numbers = mean(none, bounds=(-1, 1))
    assert as_numbers is not None
    assert as_numbers.half is None


def test_seeds_of_an_untrained_model_are_one_run() -> None:
    run = {"x": 0.25, "y": 0.5, "z": 0.9}
    one, three = mean({("a", 0): run}), mean({("a", s): run for s in range(3)})
    assert one == three
    assert one is not None
    assert one.half is not None
    assert (one.cultures, one.runs, one.samples) == (1, 1, 3)


def test_every_culture_and_every_seed_counts_alike() -> None:
    numbers = {("a", 0): {"x": 0.0, "y": 0.0, "z": 0.0}, ("b", 0): {"x": 1.0}, ("b", 1): {"x": 3.0}}
    estimate = mean(numbers)
    assert estimate is not None
    assert estimate.value == pytest.approx(1.0)
    assert (estimate.cultures, estimate.runs, estimate.samples) == (2, 3, 5)


def test_same_numbers_give_the_same_interval() -> None:
    drawn = np.random.default_rng(0).normal(0, 0.1, (5, 2, 8))
    numbers = {("abcde"[c], s): dict(zip("abcdefgh", drawn[c, s], strict=True)) for c, s in np.ndindex(5, 2)}
    assert mean(numbers) == mean(dict(reversed(numbers.items())))


def test_nothing_and_one_number_have_no_interval() -> None:
    assert mean({}) is None
    for numbers in ({("a", 0): {"": 0.3}}, {("a", 0): {"": 0.3}, ("b", 0): {"": 0.3}}):
        estimate = mean(numbers, bounds=(0, 1))
        assert estimate is not None
        assert (estimate.value, estimate.half) == (0.3, None)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (0.0, math.inf)])
def test_bounds_are_kept(bounds: tuple[float, float]) -> None:
    numbers = {(c, 0): {"": v} for c, v in zip("abcde", (0, 0, 0.1, 0, 0.05), strict=True)}
    estimate, free = mean(numbers, bounds=bounds), mean(numbers)
    assert estimate is not None
    assert free is not None
    assert free.low < 0 <= estimate.low < estimate.value < estimate.high
    assert math.isclose(estimate.value, 0.03)


def test_pairs_share_culture_seed_and_sample() -> None:
    these: Values = {("a", 0): {"x": 1.0, "y": 0.0}, ("a", 1): {"x": 1.0}, ("b", 0): {"x": 1.0}}
    those: Values = {("a", 0): {"x": 0.25, "z": 1.0}}
    assert paired(these, those) == {("a", 0): {"x": 0.75}}
    assert paired({("a", 0): {"x": 1.0}}, {("a", 0): {"y": 0.5}}) == {("a", 0): {"": 0.5}}


def test_each_unit_has_its_own_rows(finished: Maker) -> None:
    """A sample goes by its file, a prompt by its place: other variants may word it in another way."""
    run = study.read(finished.folder).runs[0]
    assert list(of_units(run, METRICS["clip_score"])) == [sample["file"] for sample in run.samples]
    assert list(of_units(run, METRICS["diversity"])) == ["prompt 0", "prompt 1", "prompt 2"]
    assert next(iter(of_units(run, METRICS["neutral_clip_score"]))) == "neutral/p00-s00.png"
    assert of_units(run, METRICS["kid"]) == {}


def test_a_metric_is_read_by_sample_or_else_as_the_runs_own_value(copied: Maker) -> None:
    """Samples without a value are left out; the scores have no prompts, so diversity is the run's."""
    for config in copied.configs:
        run = copied.run(config)
        rows = [
            {"file": "samples/p00-s00.png", "in_style": True, "memorization": 1.0},
            {"file": "samples/p00-s01.png", "in_style": None, "memorization": 0.0},
            {"file": "samples/p00-s02.png", "in_style": False, "memorization": None},
        ]
        metrics = {"memorization": {"value": 0.5, "n": 2}, "diversity": {"value": 0.25, "n": 3}}
        atomic.write_json(run.scores, {"run_id": run.run_id, "metrics": metrics, "samples": rows})
    loaded = study.read(copied.folder)
    first, second, _ = (row["file"] for row in rows)
    key = ("korea", 0)
    assert values(loaded, METRICS["memorization"], "mpc")[key] == {first: 1.0, second: 0.0}
    assert values(loaded, METRICS["in_style"], "mpc")[key] == {first: 1.0, rows[2]["file"]: 0.0}
    assert values(loaded, METRICS["diversity"], "mpc", culture="korea") == {
        key: {"": 0.25},
        ("korea", 1): {"": 0.25},
    }
    assert values(loaded, METRICS["kid"], "mpc") == {}


def test_samples_give_the_runs_own_metrics(finished: Maker) -> None:
    """What the statistics compute from samples is what scores.json says of the run."""
    loaded = study.read(finished.folder)
    for measure in METRICS.values():
        for variant in loaded.variants:
            metrics = [run.metric(measure.name) for run in loaded.of(variant=variant)]
            estimate = level(loaded, measure, variant)
            assert estimate is not None
            assert estimate.value == pytest.approx(np.mean([m for m in metrics if m is not None]))


def test_a_paired_difference_is_the_difference_of_levels(finished: Maker) -> None:
    loaded, measure = study.read(finished.folder), METRICS["default_style"]
    one, other = (level(loaded, measure, variant) for variant in ("mpc", "base"))
    estimate = mean(
        paired(*(values(loaded, measure, v) for v in ("mpc", "base"))), bounds=of_difference(measure)
    )
    assert estimate is not None and one is not None and other is not None
    assert estimate.value == pytest.approx(one.value - other.value)
    assert -1 <= estimate.low < estimate.value < 0
