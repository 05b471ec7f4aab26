"""Coverage of intervals and false positives of tests in simulated studies: writes docs/statistics.md.

    python bench/intervals.py [--studies 4000]

The same numbers on every machine: the draws are seeded.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import correlations
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray
from scipy.special import ndtr

from scoft_hpc.results.holm import holm
from scoft_hpc.results.inference import LEVEL, t_test
from scoft_hpc.results.statistics import UNBOUNDED, agree, interval

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "statistics.md"

Array: TypeAlias = NDArray[np.float64]
"""Simulated studies: [studies, cultures, seeds, prompts, samples of a prompt]."""
Draw: TypeAlias = Callable[[np.random.Generator, int, int], Array]
"""(generator, how many studies, of how many cultures) -> the studies."""

SEEDS, PROMPTS, SAMPLES = 3, 8, 3
CULTURES = (2, 3, 5, 8)
SEED_SPREAD = 50.0
"""Concentration of the seeds' shares around their culture's."""


@dataclass(frozen=True)
class Scenario:
    """A population of cultures: how it is drawn from, its mean, and the bounds of its values."""

    name: str
    draw: Draw
    truth: float
    bounds: tuple[float, float] = UNBOUNDED

    @property
    def shares(self) -> bool:
        return self.bounds == (0.0, 1.0)


def normal(cultures: float, seeds: float, samples: float) -> Draw:
    """Values around 0 with the given standard deviations between cultures, seeds and samples."""

    def draw(rng: np.random.Generator, studies: int, count: int) -> Array:
        shape = (studies, count, SEEDS, PROMPTS, SAMPLES)
        found = rng.normal(0, cultures, (*shape[:2], 1, 1, 1)) + rng.normal(0, seeds, (*shape[:3], 1, 1))
        return found + rng.normal(0, samples, shape)

    return draw


def share(mean: float, alike: float) -> Draw:
    """Samples that count or do not: cultures' shares are Beta(mean * alike, (1 - mean) * alike)."""

    def draw(rng: np.random.Generator, studies: int, count: int) -> Array:
        return _counted(rng, _noise(rng, studies, count), mean, alike)

    return draw


def difference(mean: float, base: float, alike: float) -> Draw:
    """A variant's share less that of the base, which has no seeds; both see the same noise."""

    def draw(rng: np.random.Generator, studies: int, count: int) -> Array:
        noise = _noise(rng, studies, count)
        return _counted(rng, noise, mean, alike) - _counted(rng, noise, base, alike)[:, :, :1]

    return draw


def _noise(rng: np.random.Generator, studies: int, count: int) -> Array:
    """What all runs of a culture share of their samples' chance: prompts and starting noise."""
    return rng.normal(size=(studies, count, 1, PROMPTS, SAMPLES))


def _counted(rng: np.random.Generator, noise: Array, mean: float, alike: float) -> Array:
    shape = (*noise.shape[:2], SEEDS, *noise.shape[3:])
    of_culture = rng.beta(mean * alike, (1 - mean) * alike, (*shape[:2], 1, 1, 1)).clip(1e-6, 1 - 1e-6)
    of_seed = rng.beta(of_culture * SEED_SPREAD, (1 - of_culture) * SEED_SPREAD, (*shape[:3], 1, 1))
    chance = ndtr(np.sqrt(0.5) * (noise + rng.normal(size=shape)))  # uniform, and correlated between seeds
    return (chance < of_seed).astype(np.float64)


MEANS = (
    Scenario("normal, cultures differ", normal(1, 0.3, 0.5), 0.0),
    Scenario("normal, cultures hardly differ", normal(0.05, 0.05, 1), 0.0),
    Scenario("share .50, spread out", share(0.5, 4), 0.5, (0.0, 1.0)),
    Scenario("share .10", share(0.1, 10), 0.1, (0.0, 1.0)),
    Scenario("share .05", share(0.05, 10), 0.05, (0.0, 1.0)),
    Scenario("share .02: 0 of 24 is common", share(0.02, 20), 0.02, (0.0, 1.0)),
    Scenario("difference .94 to .20", difference(0.2, 0.94, 5), -0.74, (-1.0, 1.0)),
    Scenario("difference .50 to .40", difference(0.4, 0.5, 10), -0.1, (-1.0, 1.0)),
    Scenario("difference .05 to .05", difference(0.05, 0.05, 10), 0.0, (-1.0, 1.0)),
    Scenario("difference .02 to .05", difference(0.05, 0.02, 20), 0.03, (-1.0, 1.0)),
)
NULLS = (
    Scenario("normal, cultures differ", normal(1, 0.3, 0.5), 0.0),
    Scenario("normal, cultures hardly differ", normal(0.05, 0.05, 1), 0.0),
    Scenario("shares of .30", difference(0.3, 0.3, 10), 0.0, (-1.0, 1.0)),
    Scenario("shares of .05", difference(0.05, 0.05, 10), 0.0, (-1.0, 1.0)),
    Scenario("shares of .02", difference(0.02, 0.02, 20), 0.0, (-1.0, 1.0)),
)


def ours(scenario: Scenario, studies: Array) -> tuple[Array, Array]:
    """The interval that is reported."""
    count = studies.shape[1] * PROMPTS * SAMPLES if scenario.shares else np.inf
    return interval(studies.mean((2, 3, 4)), scenario.bounds, count)


def student(scenario: Scenario, studies: Array) -> tuple[Array, Array]:
    """Student's t of the cultures' means, whatever the bounds."""
    return interval(studies.mean((2, 3, 4)))


def hierarchical(scenario: Scenario, studies: Array, draws: int = 400) -> tuple[Array, Array]:
    """Percentiles of the means of studies in which every level was drawn again: cultures, seeds in them, prompts in
    these (Saravanan, Berman and Sober, Neurons, Behavior, Data Analysis and Theory 3, 2020). Samples of a prompt come
    along together."""
    low, high = np.quantile(redraw(studies.mean(4), draws, np.random.default_rng(0)), [0.025, 0.975], axis=0)
    none = low == high
    return np.where(none, -np.inf, low), np.where(none, np.inf, high)


def redraw(prompts: Array, draws: int, rng: np.random.Generator) -> Array:
    """Means [draws, studies] of prompts' values [studies, cultures, seeds, prompts], each level drawn again."""
    studies, *levels = prompts.shape
    flat, means = prompts.reshape(studies, -1), np.empty((draws, studies))
    for drawn in means:
        at = np.zeros((studies, 1), dtype=np.intp)
        for size in levels:
            at = (at[:, :, None] * size + rng.integers(size, size=(*at.shape, size))).reshape(studies, -1)
        drawn[:] = np.take_along_axis(flat, at, 1).mean(1)
    return means


METHODS = {"ours": ours, "Student's t": student, "hierarchical": hierarchical}


@dataclass(frozen=True)
class Coverage:
    """Of simulated studies that have an interval: the share whose interval holds the truth, and how wide it is."""

    share: float
    width: float
    without: float

    @property
    def text(self) -> str:
        return f"{100 * self.share:.1f}" + (f" ({100 * self.without:.0f})" if self.without >= 0.005 else "")


def coverage(
    scenario: Scenario,
    cultures: int,
    studies: int,
    method: Callable[[Scenario, Array], tuple[Array, Array]] = ours,
) -> Coverage:
    """How often `method` covers, over so many studies of so many cultures."""
    found = scenario.draw(np.random.default_rng(cultures), studies, cultures)
    low, high = method(scenario, found)
    told = np.isfinite(high - low)
    within = (low <= scenario.truth + 1e-12) & (scenario.truth - 1e-12 <= high)
    least, most = scenario.bounds
    width = np.clip(high[told], least, most) - np.clip(low[told], least, most)
    return Coverage(float(within[told].mean()), float(width.mean()), float(1 - told.mean()))


def false_positives(scenario: Scenario, cultures: int, studies: int, family: int) -> tuple[float, float]:
    """Shares of comparisons, and of families of so many after Holm, in which a difference is found that is not there.

    The comparisons of a family have cultures, seeds and noises of their own; Holm's correction holds for any others.
    """
    rng = np.random.default_rng(cultures)
    means = scenario.draw(rng, studies * family, cultures).mean((2, 3, 4))
    told = ~agree(means)
    ps = np.ones(len(means))
    ps[told] = t_test(means[told])
    corrected = [min(holm(dict(enumerate(one))).values()) for one in ps.reshape(studies, family)]
    return float(np.mean(ps <= LEVEL)), float(np.mean(np.array(corrected) <= LEVEL))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=4000)
    studies = parser.parse_args().studies
    covered = [
        (
            scenario,
            [[coverage(scenario, c, studies, method) for method in METHODS.values()] for c in CULTURES],
        )
        for scenario in MEANS
    ]
    family, families = 20, studies // 2
    found = [(s.name, [false_positives(s, c, families, family) for c in CULTURES]) for s in NULLS]
    correlated = [
        (world.name, count, correlations.coverage(world, count, studies // 8))
        for world in correlations.WORLDS
        for count in CULTURES
    ]
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, keep_trailing_newline=True, trim_blocks=True
    )
    numbers = {"studies": studies, "families": families, "correlated_studies": studies // 8}
    errors = [100 * np.sqrt(0.05 * 0.95 / number) for number in numbers.values()]
    page = environment.get_template("statistics.md.j2").render(
        **numbers,
        **dict(zip(("error", "family_error", "correlated_error"), errors, strict=True)),
        family=family,
        cultures=CULTURES,
        seeds=SEEDS,
        prompts=PROMPTS,
        samples=SAMPLES,
        covered=covered,
        found=found,
        correlated=correlated,
        correlation_methods=correlations.METHODS,
    )
    PAGE.write_text(page)
    tables = [line for line in page.splitlines() if line.startswith("|") and "---" not in line]
    print(*tables, sep="\n")
    print(f"written: {PAGE}")


if __name__ == "__main__":
    main()
