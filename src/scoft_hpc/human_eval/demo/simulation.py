"""Simulated raters with known worths and skills, for the demo and for tests of the analysis.

A rater sees an image's utility: skill × worth of its system for their culture and question, plus noise of a standard
Gumbel distribution. Images ordered by utility are a Plackett–Luce ranking with worths skill × θ, so skill is an inverse
temperature (Yellott, J. Math. Psychol. 15, 1977). Utilities that differ by at most `tie_margin` tie. On a repeated or
reversed page the rater has the same noise plus a little more (`REPEAT_NOISE_SD`); a spammer ranks at random; a rater
who is not `attentive` ranks a reversed page as if its question were not reversed.

Everything follows from names and seeds: the same rater gives the same answer to the same page in any order and process.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.human_eval.answers import RaterAnswer
from scoft_hpc.human_eval.judgements import Kind

Worths = Mapping[str, Mapping[str, float]]
"""question -> system -> θ."""
SKILL_RANGE = (0.4, 1.8)
"""Skills are uniform in this range."""
REPEAT_NOISE_SD = 0.3
"""Standard deviation of the additional noise when a rater sees a page again."""


@dataclass(frozen=True)
class SimulatedRater:
    """A rater.

    Attributes:
        worths: the true worths of their culture.
        skill: 0 is blind; the greater, the less noise.
        tie_margin: utilities that differ by at most this tie.
        abstain_rate: the share of pages that they cannot judge.
        leaves_after: pages they answer before they drop out; None: all.
        offence_rate: how often an image of the worst system offends them.
        spams: whether they rank at random.
        image_sd: standard deviation of an image's own worth around its system's, the same for all raters of a seed.
    """

    number: int
    culture: str
    worths: Worths
    skill: float = 1.0
    tie_margin: float = 0.1
    abstain_rate: float = 0.02
    leaves_after: int | None = None
    offence_rate: float = 0.03
    attentive: bool = True
    spams: bool = False
    image_sd: float = 0.0
    seed: int = 0

    def answer(self, systems: Mapping[str, str], question: str, kind: Kind, page: str) -> RaterAnswer:
        """Their answer about `systems` (image -> system) on `page`.

        It depends on the page and the systems, not on the images' names.
        """
        rng = self._rng(question, page, kind.value)
        if rng.random() < self.abstain_rate:
            return RaterAnswer({}, {}, {}, cannot_judge=True, seconds=5.0)
        images = sorted(systems, key=lambda name: systems[name])
        worth = np.array([self.worths[question][systems[name]] for name in images])
        worth += self.image_sd * _rng(self.seed, 0, question, page).normal(size=len(images))
        utility = self._utility(worth, question, page, kind, rng)
        inverted = kind is Kind.reversed and self.attentive
        ranks = rank_utilities(-utility if inverted else utility, self.tie_margin)
        badness = np.exp(-worth) / np.exp(-worth).max()
        offends = rng.random(len(images)) < self.offence_rate * badness
        return RaterAnswer(
            dict(zip(images, ranks, strict=True)),
            dict(zip(images, _ratings(utility), strict=True)),
            {name: "it is not how we are" for name, hurt in zip(images, offends, strict=True) if hurt},
            seconds=round(float(rng.uniform(0.8, 1.6) if self.spams else rng.uniform(8, 40)), 1),
        )

    def _utility(
        self, worth: NDArray[np.float64], question: str, page: str, kind: Kind, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        if self.spams:
            return rng.gumbel(size=len(worth))
        utility = self.skill * worth + self._rng(question, page).gumbel(size=len(worth))
        return utility if kind is Kind.regular else utility + REPEAT_NOISE_SD * rng.normal(size=len(worth))

    def _rng(self, *names: str) -> np.random.Generator:
        return _rng(self.seed, self.number, *names)


def _rng(seed: int, number: int, *names: str) -> np.random.Generator:
    """A rater's random numbers for a purpose; raters are numbered from 1, and 0 is what they share."""
    return np.random.default_rng([seed, number, zlib.crc32("/".join(names).encode())])


def draw_raters(
    worths: Mapping[str, Worths], quotas: Mapping[str, int], *, spammers: int = 0, seed: int = 0
) -> list[SimulatedRater]:
    """Raters numbered from 1 with skills in `SKILL_RANGE`; every tenth leaves half-way, the last `spammers` spam.

    Args:
        worths: of each culture.
        quotas: culture -> number of raters.
    """
    rng = np.random.default_rng([seed, 1])
    cultures = [culture for culture, quota in quotas.items() for _ in range(quota)]
    return [
        SimulatedRater(
            number,
            culture,
            worths[culture],
            skill=float(rng.uniform(*SKILL_RANGE)),
            leaves_after=7 if number % 10 == 0 else None,
            spams=number > len(cultures) - spammers,
            seed=seed,
        )
        for number, culture in enumerate(cultures, 1)
    ]


def rank_utilities(utility: NDArray[np.float64], tie_margin: float) -> list[int]:
    """1 for the greatest; a utility at most `tie_margin` below the one before it has the same rank."""
    order = np.argsort(-utility, kind="stable")
    ranks, rank = [0] * len(order), 1
    for position, (before, current) in enumerate(zip([order[0], *order], order, strict=False)):
        if utility[before] - utility[current] > tie_margin:
            rank = position + 1
        ranks[current] = rank
    return ranks


def _ratings(utility: NDArray[np.float64]) -> list[int]:
    """1 to 5, each equally frequent where all worths are equal."""
    return [int(r) for r in 1 + np.searchsorted((-0.48, 0.09, 0.67, 1.5), utility)]
