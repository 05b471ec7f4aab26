"""Print the tables of docs/survey-analysis.md: coverage of the survey's intervals and false positives of its test.

    python bench/survey_intervals.py [--surveys 1000]

Raters are drawn from a population. Its true values are those that the analysis finds for 3,000 raters. The draws are
seeded.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.human_eval.analysis import agreement, plackett_luce, sign_flip, win_rates
from scoft_hpc.human_eval.analysis.bootstrap import Resamples, resample, t_interval
from scoft_hpc.human_eval.analysis.rankings import Rankings, mean_ranks_of
from scoft_hpc.results.inference import LEVEL, t_test

Array = NDArray[np.float64]

PAGES, POOL = 12, 24
"""Pages of a rater, out of a culture's."""
RATERS = ((2,), (3,), (5,), (10,), (2,) * 5, (10,) * 5)
UNEQUAL = ((2, 40), (12, 10, 11, 9, 2), (12, 10, 11, 9, 1), (1, 1, 1, 10, 10), (1,) * 5)
"""The raters of each culture."""
SYSTEMS = ("base", "m", "mp", "mpc")
CROWD = 3000
SELDOM = 4
"""α takes its time: it is looked at in every so many surveys."""
SHOWN = ("worth", "worth, t alone", "worth, percentiles", "first", "win", "alpha")


@dataclass(frozen=True)
class Population:
    """Raters: `theta` is the worth of each system, `taste` how far (standard deviation) a rater's own worths lie from
    it, `page` how far a page's do; the skill of a rater is between `skills`; utilities nearer than `tie` tie."""

    name: str
    theta: tuple[float, ...]
    taste: float
    page: float = 0.5
    skills: tuple[float, float] = (0.5, 1.5)
    tie: float = 0.1


POPULATIONS = (
    Population("raters alike", (-1.0, -0.3, 0.3, 1.0), 0.0),
    Population("raters differ", (-1.0, -0.3, 0.3, 1.0), 0.5),
    Population("raters differ widely", (-1.0, -0.3, 0.3, 1.0), 1.5),
    Population("one system nearly always wins", (-1.5, -1.0, -0.5, 3.0), 0.5),
)
NULLS = (
    Population("raters alike", (0.0, 0.0, 0.0, 0.0), 0.0, page=0.0),
    Population("raters differ", (0.0, 0.0, 0.0, 0.0), 0.5, page=0.0),
    Population("raters differ widely", (0.0, 0.0, 0.0, 0.0), 1.5, page=0.0),
    Population("mostly ties", (0.0, 0.0, 0.0, 0.0), 0.5, page=0.0, tie=2.5),
)
"""Pages favour nobody: the test speaks of other raters of the same pages."""


def draw(of: Population, rng: np.random.Generator, sizes: Sequence[int]) -> Rankings:
    """What so many raters of each culture say; pages are the population's, the same in every survey."""
    count, systems = sum(sizes), len(of.theta)
    culture = np.repeat(np.arange(len(sizes)), sizes)
    pages = of.page * np.random.default_rng(7).normal(size=(POOL, systems))
    page = (rng.integers(POOL, size=(count, 1)) + np.arange(PAGES)) % POOL
    own = np.array(of.theta) + of.taste * rng.normal(size=(count, 1, systems)) + pages[page]
    utility = rng.uniform(*of.skills, size=(count, 1, 1)) * own + rng.gumbel(size=(count, PAGES, systems))
    ranks = tied(utility.reshape(-1, systems), of.tie)
    of_page = page + POOL * culture[:, None]  # every culture has its own
    shown, at = np.unique(of_page, return_inverse=True)
    return Rankings(
        SYSTEMS,
        ranks,
        np.repeat(np.arange(count), PAGES),
        at.reshape(-1),
        tuple(range(count)),
        tuple(map(str, culture)),
        tuple(map(str, shown)),
    )


def tied(utility: Array, tie: float) -> Array:
    """Mean ranks [n, systems] of utilities, of which neighbours nearer than `tie` tie."""
    order = np.argsort(-utility, axis=1)
    falls = -np.diff(np.take_along_axis(utility, order, axis=1), axis=1) > tie
    group = np.concatenate([np.zeros((len(utility), 1), dtype=int), falls.cumsum(axis=1)], axis=1)
    ranks = np.empty_like(utility)
    np.put_along_axis(ranks, order, group, axis=1)
    return mean_ranks_of(ranks)


@dataclass(frozen=True)
class Truth:
    worth: Array
    first: Array
    win: Array
    alpha: float


@cache
def truth(of: Population) -> Truth:
    """What the analysis says of a crowd."""
    crowd = draw(of, np.random.default_rng(1), (CROWD,))
    once = Resamples(np.ones((1, CROWD)), 0)
    found = plackett_luce.estimate_worths(crowd, once)
    win = win_rates.estimate_rate(win_rates.count_wins(crowd, "base"), crowd.strata, once).value
    few = [agreement.agreement(draw(of, np.random.default_rng(k), (60,))) for k in range(20)]
    return Truth(found.worth, found.first, win, float(np.mean([one.value for one in few if one is not None])))


def covered(of: Population, sizes: Sequence[int], surveys: int) -> dict[str, float]:
    """Of so many surveys the share whose interval holds the truth, by what is estimated; the mean over systems."""
    true, rng = truth(of), np.random.default_rng(2)
    hits: dict[str, list[float]] = {}

    def count(name: str, low: Array, high: Array, value: Array) -> None:
        hits.setdefault(name, []).append(float(((low <= value) & (value <= high)).mean()))

    for survey in range(surveys):
        found = draw(of, rng, sizes)
        resamples = resample(found.strata, rng, 300)
        one = plackett_luce.estimate_worths(found, resamples)
        count("worth", one.worth_low, one.worth_high, true.worth)
        count("first", one.first_low, one.first_high, true.first)
        win = win_rates.estimate_rate(win_rates.count_wins(found, "base"), found.strata, resamples)
        count("win", win.low[1:], win.high[1:], true.win[1:])
        count("worth, t alone", *alone(found, resamples), true.worth)
        count("worth, percentiles", *percentiles(found, rng), true.worth)
        alike = agreement.agreement(found) if survey % SELDOM == 0 else None
        if alike is not None and alike.has_interval:
            count("alpha", *map(np.array, (alike.low, alike.high, true.alpha)))
    return {name: float(np.mean(found)) for name, found in hits.items()}


def alone(found: Rankings, resamples: Resamples) -> tuple[Array, Array]:
    """Student's t of the resamples of worths, however small their deviation."""
    counted = plackett_luce.count_choices(found)
    drawn = plackett_luce.fit(resamples.weights @ counted.chosen, resamples.weights @ counted.sets)
    value = plackett_luce.fit(counted.chosen.sum(0, keepdims=True), counted.sets.sum(0, keepdims=True))[0]
    return t_interval(value, drawn, np.zeros_like(value), resamples.dof)


def percentiles(found: Rankings, rng: np.random.Generator) -> tuple[Array, Array]:
    """Those of worths of as many raters drawn again: the plain bootstrap of clusters."""
    counted = plackett_luce.count_choices(found)
    strata = found.strata
    weights = np.zeros((300, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        n = len(members)
        weights[:, members] = rng.multinomial(n, np.full(n, 1 / n), size=len(weights))
    low, high = np.quantile(
        plackett_luce.fit(weights @ counted.chosen, weights @ counted.sets), [0.025, 0.975], axis=0
    )
    return low, high


def false_positives(of: Population, sizes: Sequence[int], surveys: int) -> tuple[float, float]:
    """Shares of comparisons with base in which sign flips, and Student's t of raters' net wins, find a difference."""
    rng = np.random.default_rng(3)
    flips, t = [], []
    for _ in range(surveys):
        found = draw(of, rng, sizes)
        tally = win_rates.count_wins(found, "base")
        flips.append(sign_flip.sign_flip(tally, found.strata, rng, 2000)[1:])
        net = (2 * tally.won - tally.total)[:, 1:].T
        with np.errstate(divide="ignore", invalid="ignore"):
            t.append(t_test(net))
    return float(np.mean(np.array(flips) <= LEVEL)), float(np.mean(np.array(t) <= LEVEL))


def _table(head: str, columns: Sequence[Sequence[int]], lines: Iterator[tuple[str, list[str]]]) -> None:
    print(f"\n| {head} | " + " | ".join(map(_size, columns)) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for name, cells in lines:
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def _size(sizes: Sequence[int]) -> str:
    return f"{len(sizes)} × {sizes[0]}" if len(set(sizes)) == 1 else ", ".join(map(str, sizes))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--surveys", type=int, default=1000)
    surveys = parser.parse_args().surveys

    def coverages(
        populations: Sequence[Population], columns: Sequence[Sequence[int]], shown: Sequence[str]
    ) -> Iterator[tuple[str, list[str]]]:
        for of in populations:
            found = [covered(of, sizes, surveys) for sizes in columns]
            for name in shown:
                yield (
                    f"{of.name}: {name}",
                    [f"{100 * one[name]:.1f}" if name in one else "–" for one in found],
                )

    _table("cultures × raters", RATERS, coverages(POPULATIONS, RATERS, SHOWN))
    _table("raters of each culture", UNEQUAL, coverages(POPULATIONS[2:3], UNEQUAL, ("worth", "first", "win")))

    def errors() -> Iterator[tuple[str, list[str]]]:
        for of in NULLS:
            yield (
                of.name,
                [
                    " / ".join(f"{100 * x:.1f}" for x in false_positives(of, sizes, surveys))
                    for sizes in RATERS
                ],
            )

    _table("sign flips / Student's t", RATERS, errors())


if __name__ == "__main__":
    main()
