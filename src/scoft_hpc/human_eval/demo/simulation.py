"""Raters who do not exist, with a truth that is known: to test an analysis, and to let a survey run by itself.

A rater sees a picture's utility: skill × worth of its system for their culture and question, plus noise of a
standard Gumbel distribution. Ordered by utility, pictures are a Plackett–Luce ranking with worths skill × θ, so skill
is an inverse temperature (Yellott, J. Math. Psychol. 15, 1977). Utilities nearer than `tie` tie. Asked once more, a
rater sees the same noise and a little of another's (`WAVER`); one who spams draws anew; one who is not `attentive`
ranks as if the question were not turned round.

Everything follows from names and seeds: the same rater gives the same answer to the same page in any order and process.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant

SKILLS = (0.4, 1.8)
"""From the least to the greatest, all alike often."""
WAVER = 0.3
"""Standard deviation of what changes in a rater's mind between two sights of a page."""


@dataclass(frozen=True)
class Said:
    """An answer: `ranks` by picture, of a reversed page with 1 for the worst; {} with `cannot_judge`."""

    ranks: Mapping[str, int]
    ratings: Mapping[str, int]
    offended: Mapping[str, str]
    cannot_judge: bool
    seconds: float


@dataclass(frozen=True)
class SimulatedRater:
    """One of them.

    Attributes:
        worths: question -> system -> θ, the truth for their culture.
        skill: 0 sees nothing, 1 as people do in the world, more sees better.
        tie: utilities nearer than this tie.
        abstains: how often they cannot judge a page.
        leaves_after: pages they answer before they drop out; None: all.
        offence: how often a picture of the worst system offends them.
        spams: whether they rank without looking.
        pictures: how far (standard deviation) a picture's own worth lies from its system's, to all raters of a seed.
    """

    number: int
    culture: str
    worths: Mapping[str, Mapping[str, float]]
    skill: float = 1.0
    tie: float = 0.1
    abstains: float = 0.02
    leaves_after: int | None = None
    offence: float = 0.03
    attentive: bool = True
    spams: bool = False
    pictures: float = 0.0
    seed: int = 0

    def answer(self, systems: Mapping[str, str], question: str, kind: Kind, page: str) -> Said:
        """What they say of `systems` (picture -> system) on `page`.

        The pictures of one page and system look alike to them under whatever name.
        """
        rng = self._rng(question, page, kind.value)
        if rng.random() < self.abstains:
            return Said({}, {}, {}, True, 5.0)
        pictures = sorted(systems, key=lambda name: systems[name])
        worth = np.array([self.worths[question][systems[name]] for name in pictures])
        worth += self.pictures * _common(self.seed, question, page).normal(size=len(pictures))
        utility = self._utility(worth, question, page, kind, rng)
        turned = kind is Kind.reversed and self.attentive
        ranks = _ranks(-utility if turned else utility, self.tie)
        bad = np.exp(-worth) / np.exp(-worth).max()
        offends = rng.random(len(pictures)) < self.offence * bad
        said = {n: "it is not how we are" for n, hurt in zip(pictures, offends, strict=True) if hurt}
        return Said(
            dict(zip(pictures, ranks, strict=True)),
            dict(zip(pictures, _ratings(utility), strict=True)),
            said,
            False,
            round(float(rng.uniform(0.8, 1.6) if self.spams else rng.uniform(8, 40)), 1),
        )

    def _utility(
        self, worth: NDArray[np.float64], question: str, page: str, kind: Kind, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        if self.spams:
            return rng.gumbel(size=len(worth))
        utility = self.skill * worth + self._rng(question, page).gumbel(size=len(worth))
        return utility if kind is Kind.asked else utility + WAVER * rng.normal(size=len(worth))

    def _rng(self, *names: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.number, zlib.crc32("/".join(names).encode())])


def _common(seed: int, *names: str) -> np.random.Generator:
    """What all raters share; they are numbered from 1."""
    return np.random.default_rng([seed, 0, zlib.crc32("/".join(names).encode())])


@dataclass(frozen=True)
class World:
    """What is true of a simulated survey: culture -> question -> system -> θ, each culture's around the mean."""

    systems: tuple[str, ...]
    cultures: tuple[str, ...]
    questions: tuple[str, ...]
    worths: Mapping[str, Mapping[str, Mapping[str, float]]]

    def mean(self, question: str) -> Mapping[str, float]:
        """System -> θ, the mean over cultures."""
        return {s: float(np.mean([self.worths[c][question][s] for c in self.cultures])) for s in self.systems}


def world(
    systems: Sequence[str],
    cultures: Sequence[str],
    questions: Sequence[str],
    *,
    apart: float = 2.0,
    spread: float = 0.0,
    seed: int = 0,
) -> World:
    """Systems' worths rise in their order, from the first to the last by `apart`; cultures differ by `spread`."""
    rng = np.random.default_rng(seed)
    mean = np.linspace(-apart / 2, apart / 2, len(systems))
    worths: dict[str, dict[str, dict[str, float]]] = {}
    for culture in cultures:
        worths[culture] = {}
        for question in questions:
            theta = mean + spread * rng.normal(size=len(systems))
            worths[culture][question] = dict(zip(systems, (theta - theta.mean()).tolist(), strict=True))
    return World(tuple(systems), tuple(cultures), tuple(questions), worths)


def raters(
    true: World, quotas: Mapping[str, int], *, spammers: int = 0, seed: int = 0
) -> list[SimulatedRater]:
    """A survey's raters, numbered from 1: skills among `SKILLS`, every tenth leaves half-way, the last ones spam."""
    rng = np.random.default_rng([seed, 1])
    cultures = [culture for culture, quota in quotas.items() for _ in range(quota)]
    found = []
    for number, culture in enumerate(cultures, 1):
        found.append(
            SimulatedRater(
                number,
                culture,
                true.worths[culture],
                skill=float(rng.uniform(*SKILLS)),
                leaves_after=7 if number % 10 == 0 else None,
                spams=number > len(cultures) - spammers,
                seed=seed,
            )
        )
    return found


def crowd_worths(
    true: World, question: str, cultures: Sequence[str], count: int = 40_000
) -> Mapping[str, float]:
    """System -> the worth that an analysis of countless raters as `raters` has them would find, cultures alike.

    It is less than the mean skill times θ: who sees worse says little, however much the others see.
    """
    from scoft_hpc.human_eval.analysis import plackett_luce
    from scoft_hpc.human_eval.analysis.rankings import Rankings, mean_ranks_of

    rng = np.random.default_rng(0)
    theta = np.array([[true.worths[c][question][s] for s in true.systems] for c in cultures])
    own = theta[np.arange(count) % len(cultures)]
    skill = rng.uniform(*SKILLS, size=(count, 1))
    utility = skill * own + rng.gumbel(size=own.shape)
    ranks = mean_ranks_of(np.array([_ranks(row, SimulatedRater.tie) for row in utility], dtype=np.float64))
    one = np.zeros(count, dtype=np.intp)
    counted = plackett_luce.count_choices(Rankings(true.systems, ranks, one, one, (1,), ("",), ("",)))
    (found,) = plackett_luce.fit(counted.chosen, counted.sets)
    return dict(zip(true.systems, found.tolist(), strict=True))


@dataclass(frozen=True)
class Sheet:
    """A page that a simulated survey shows a rater, as `Kind` says."""

    page: str
    kind: Kind = field(default=Kind.asked)


def judge(rater: SimulatedRater, sheets: Sequence[Sheet], true: World) -> Iterator[Judgement]:
    """All that a rater says of a sequence of pages that show every system, until they leave."""
    for position, sheet in enumerate(sheets[: rater.leaves_after]):
        for question in true.questions:
            said = rater.answer({s: s for s in true.systems}, question, sheet.kind, sheet.page)
            yield Judgement(
                rater.number,
                rater.culture,
                sheet.page,
                position,
                sheet.kind,
                question,
                None if said.cannot_judge else said.ranks,
                said.ratings,
                frozenset(said.offended),
                said.seconds,
            )


def survey_of(
    true: World, of: Sequence[SimulatedRater], *, pages: int = 12, pool: int = 24
) -> tuple[list[Participant], list[Judgement]]:
    """Everybody's answers: `pages` of a culture's `pool`, in turn, then one repeated and one reversed."""
    people: list[Participant] = []
    said: list[Judgement] = []
    for rater in of:
        start = rater.number * 5
        shown = [f"{rater.culture}-{(start + k) % pool:02d}" for k in range(min(pages, pool))]
        sheets = [Sheet(p) for p in shown] + [
            Sheet(shown[0], Kind.repeat),
            Sheet(shown[min(1, len(shown) - 1)], Kind.reversed),
        ]
        finished = rater.leaves_after is None
        people.append(Participant(rater.number, rater.culture, "member", "en", finished))
        said += judge(rater, sheets, true)
    return people, said


def _ranks(utility: NDArray[np.float64], tie: float) -> list[int]:
    """1 for the greatest; a utility no more than `tie` below the one before it has that one's rank."""
    order = np.argsort(-utility, kind="stable")
    ranks, rank = [0] * len(order), 1
    for place, (before, now) in enumerate(zip([order[0], *order], order, strict=False)):
        if utility[before] - utility[now] > tie:
            rank = place + 1
        ranks[now] = rank
    return ranks


def _ratings(utility: NDArray[np.float64]) -> list[int]:
    """1 to 5, in equal parts of what utilities are in a world of equal worths."""
    return [int(r) for r in 1 + np.searchsorted((-0.48, 0.09, 0.67, 1.5), utility)]
