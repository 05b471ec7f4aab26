"""Coverage of the intervals of a rank correlation over runs, in simulated studies; used by intervals.py."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.results.metric_validity import overall, spearman, within

VARIANTS = np.array([0.0, 1.0, 1.2, 1.7, 2.0])
"""The truth of each variant, in the mean."""
SEEDS, REDRAWN = 3, 400
METHODS = (
    "reported, over all runs",
    "bootstrap of cultures",
    "bootstrap of runs",
    "reported, within cultures",
)


@dataclass(frozen=True)
class World:
    """Standard deviations: of a culture's shift, which a metric sees doubled, and of a metric's error by variant."""

    name: str
    shift: float
    error: float


WORLDS = (
    World("a good metric", 0.2, 0.3),
    World("a mediocre metric", 0.5, 0.8),
    World("a poor metric", 0.5, 2.0),
    World("a good metric with another scale in each culture", 2.0, 0.8),
)


def draw(
    world: World, rng: np.random.Generator, cultures: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Metric and truth of runs, [cultures, runs]: cultures differ in shift and slope, variants and seeds in error."""
    shape = (cultures, len(VARIANTS), SEEDS)
    slope, tracks = 1 + 0.3 * rng.normal(size=(2, cultures, 1, 1))
    shifts = world.shift * rng.normal(size=(2, cultures, 1, 1))
    truth = slope * VARIANTS[:, None] + shifts[0] + 0.3 * rng.normal(size=(*shape[:2], 1))
    truth = truth + 0.2 * rng.normal(size=shape)
    metric = tracks * truth + 2 * shifts[1] + world.error * rng.normal(size=(*shape[:2], 1))
    metric = metric + 0.3 * rng.normal(size=shape)
    return metric.reshape(cultures, -1), truth.reshape(cultures, -1)


def coverage(world: World, cultures: int, studies: int) -> list[float]:
    """The share of studies in which each of `METHODS` covers; what is covered is the value over 1000 cultures."""
    rng = np.random.default_rng(cultures)
    x, y = draw(world, rng, 1000)
    once = np.ones((1, x.shape[1]))
    inside = float(np.mean([spearman(a, b, once)[0] for a, b in zip(x, y, strict=True)]))
    ranks = [values.ravel().argsort().argsort() for values in (x, y)]
    across = float(np.corrcoef(*ranks)[0, 1])
    hits = np.zeros(len(METHODS))
    for _ in range(studies):
        x, y = draw(world, rng, cultures)
        names = [str(c) for c in range(cultures) for _ in range(x.shape[1])]
        one, two = x.ravel(), y.ravel()
        redrawn = (
            np.repeat(
                rng.multinomial(cultures, np.full(cultures, 1 / cultures), REDRAWN), x.shape[1], axis=1
            ),
            rng.multinomial(one.size, np.full(one.size, 1 / one.size), REDRAWN),
        )
        spans = [np.nanquantile(spearman(one, two, w.astype(float)), [0.025, 0.975]) for w in redrawn]
        ours, averaged = overall(list(one), list(two), names), within(list(one), list(two), names)
        assert ours is not None and averaged is not None
        bounds = [(ours.low, ours.high, across), *((*span, across) for span in spans)]
        bounds.append((averaged.low, averaged.high, inside))
        hits += [low <= truth <= high for low, high, truth in bounds]
    return list(hits / studies)
