"""Rank correlations of metrics with the truth, on data whose correlation is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from results.study_maker import Maker
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.config.schema import Data
from scoft_hpc.results import study
from scoft_hpc.results.metric_validity import metric_validity, overall, spearman, within


def simulate(
    rng: np.random.Generator, cultures: int, rho: float, shift: float, runs: int = 12
) -> tuple[list[float], list[float], list[str]]:
    """Normal pairs, correlated by `rho` within a culture, which moves its runs' metrics together."""
    cover = np.array([[1.0, rho], [rho, 1.0]])
    pairs = rng.multivariate_normal([0, 0], cover, (cultures, runs))
    pairs[:, :, 0] += shift * rng.normal(size=(cultures, 1))
    names = [f"c{c}" for c in range(cultures) for _ in range(runs)]
    return list(pairs[:, :, 0].ravel()), list(pairs[:, :, 1].ravel()), names


def as_ranks(rho: float, n: int) -> float:
    """The mean of Spearman's over n pairs of normals whose Pearson's is `rho` (Moran, Biometrika 35, 1948)."""
    return float(6 / np.pi / (n + 1) * (np.arcsin(rho) + (n - 2) * np.arcsin(rho / 2)))


def test_it_is_scipys_also_with_ties_and_weights() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, 20).astype(float), rng.integers(0, 4, 20).astype(float)
    weights = rng.integers(0, 3, (5, 20)).astype(float)
    for coefficient, weight in zip(spearman(x, y, weights), weights.astype(int), strict=True):
        expected = stats.spearmanr(np.repeat(x, weight), np.repeat(y, weight)).statistic
        assert coefficient == pytest.approx(expected)


def test_culture_by_culture_and_all_together_are_two_questions() -> None:
    """Within each culture the order is the same; between them it is turned around."""
    x = [1.0, 2, 3, 4, 11, 12, 13, 14, 21, 22, 23, 24]
    y = [21.0, 22, 23, 24, 11, 12, 13, 14, 1, 2, 3, 4]
    names = [name for name in "abc" for _ in range(4)]
    inside, across = within(x, y, names), overall(x, y, names)
    assert inside is not None
    assert across is not None
    assert (inside.value, inside.runs, inside.cultures, inside.over) == (1.0, 12, 3, "cultures")
    assert across.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert across.value < 0
    turned = overall(x, [-value for value in y], names)
    assert turned is not None
    assert (turned.low, turned.high) == pytest.approx((-across.high, -across.low))


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.5, -0.8])
@pytest.mark.parametrize("cultures", [5, 8])
def test_known_correlations_are_found_and_covered(cultures: int, rho: float) -> None:
    rng, studies = np.random.default_rng(cultures), 400
    for measure, shift in ((overall, 0.0), (within, 3.0)):
        estimates = [measure(*simulate(rng, cultures, rho, shift)) for _ in range(studies)]
        values = np.array([(t.value, t.low, t.high) for t in estimates if t is not None])
        assert len(values) == studies
        truth = as_ranks(rho, 12 if measure is within else 12 * cultures)
        assert values[:, 0].mean() == pytest.approx(truth, abs=0.02)
        covered = np.mean((values[:, 1] <= truth) & (truth <= values[:, 2]))
        assert 0.915 <= covered <= 0.985  # ± 3 standard errors of 400 studies at .95


def test_of_one_culture_the_runs_are_counted() -> None:
    samples = [simulate(np.random.default_rng(i), 1, 0.6, 0.0, runs=30) for i in range(300)]
    estimates = [overall(*one) for one in samples]
    assert {f.over for f in estimates if f is not None} == {"runs"}
    covered = np.mean([f.low <= as_ranks(0.6, 30) <= f.high for f in estimates if f is not None])
    assert 0.91 <= covered <= 0.985
    assert within(*samples[0]) == estimates[0]


def test_what_cannot_be_told_is_not_told() -> None:
    assert overall([], [], []) is None
    assert within([], [], []) is None
    assert overall([1, 2, 3], [1, 2, 3], ["a", "b", "c"]) is None
    assert within([1, 2, 3, 4], [5, 5, 5, 5], ["a"] * 4) is None
    flat = overall([1, 2, 3, 4, 5], [0, 0, 0, 0, 1], ["a", "a", "a", "b", "b"])
    assert flat is not None
    assert np.isinf(flat.high)


def test_a_study_is_told_metric_by_metric(finished: Maker) -> None:
    read = study.read(finished.folder)
    validity = metric_validity(read)
    metrics = [name for name, m in METRICS.items() if m.group != "truth"]
    assert [(t.metric.name, t.truth.name) for t in validity] == [
        (name, truth) for name in metrics for truth in ("default_style", "in_style", "subject")
    ]
    by_name = {(t.metric.name, t.truth.name): t for t in validity}
    cmmd = by_name["cmmd", "default_style"]
    assert cmmd.overall is not None
    assert cmmd.within is not None
    assert cmmd.overall.value > 0.6  # it is made from the rate of the default style
    assert (cmmd.overall.runs, cmmd.overall.cultures, cmmd.within.cultures) == (20, 2, 2)
    assert (cmmd.expected, by_name["cmmd", "in_style"].expected) == (1, -1)
    assert by_name["diversity", "in_style"].expected is None


def test_an_untrained_model_counts_once(finished: Maker) -> None:
    read = study.read(finished.folder)
    base = {run.culture: run.scores for run in read.of(variant="base") if run.seed == 0}
    runs = (replace(r, scores=base[r.culture]) if r.variant == "base" else r for r in read.runs)
    first = metric_validity(replace(read, runs=tuple(runs)))[0]
    assert first.overall is not None
    assert first.overall.runs == 18


def test_photographs_have_no_truth_to_validity(make: Callable[..., Maker]) -> None:
    maker = make(cultures=("korea",), seeds=(0,), data=Data(name="folder", root="somewhere")).finish()
    assert metric_validity(study.read(maker.folder)) == []
