"""Surveys of simulated raters, without an application: their true worths, pages and judgements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scoft_hpc.human_eval.analysis import plackett_luce
from scoft_hpc.human_eval.analysis.rankings import Rankings, mean_ranks_of
from scoft_hpc.human_eval.demo.simulation import SKILL_RANGE, SimulatedRater, Worths, rank_utilities
from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant


@dataclass(frozen=True)
class TrueWorths:
    """The truth of a simulated survey; `worths`: culture -> question -> system -> θ."""

    systems: tuple[str, ...]
    cultures: tuple[str, ...]
    questions: tuple[str, ...]
    worths: Mapping[str, Worths]


def true_worths(
    systems: Sequence[str],
    cultures: Sequence[str],
    questions: Sequence[str],
    *,
    apart: float = 2.0,
    culture_sd: float = 0.0,
    seed: int = 0,
) -> TrueWorths:
    """Worths rise in the systems' order, by `apart` from first to last; cultures differ by `culture_sd`."""
    rng = np.random.default_rng(seed)
    mean = np.linspace(-apart / 2, apart / 2, len(systems))
    worths: dict[str, dict[str, dict[str, float]]] = {}
    for culture in cultures:
        worths[culture] = {}
        for question in questions:
            theta = mean + culture_sd * rng.normal(size=len(systems))
            worths[culture][question] = dict(zip(systems, (theta - theta.mean()).tolist(), strict=True))
    return TrueWorths(tuple(systems), tuple(cultures), tuple(questions), worths)


def limit_worths(
    true: TrueWorths, question: str, cultures: Sequence[str], count: int = 40_000
) -> Mapping[str, float]:
    """System -> the worth that the analysis estimates from infinitely many raters, cultures having equal weight.

    It is less than the mean skill times θ, because raters of low skill are as frequent as raters of high skill.
    """
    rng = np.random.default_rng(0)
    theta = np.array([[true.worths[c][question][s] for s in true.systems] for c in cultures])
    theta = theta[np.arange(count) % len(cultures)]
    utility = rng.uniform(*SKILL_RANGE, size=(count, 1)) * theta + rng.gumbel(size=theta.shape)
    rows = [rank_utilities(row, SimulatedRater.tie_margin) for row in utility]
    zeros = np.zeros(count, dtype=np.intp)
    rankings = Rankings(true.systems, mean_ranks_of(np.array(rows, float)), zeros, zeros, (1,), ("",), ("",))
    counts = plackett_luce.count_choices(rankings)
    (worths,) = plackett_luce.fit(counts.chosen, counts.sets)
    return dict(zip(true.systems, worths.tolist(), strict=True))


def judge(rater: SimulatedRater, pages: Sequence[tuple[str, Kind]], true: TrueWorths) -> Iterator[Judgement]:
    """A rater's judgements of (page, kind) that show every system, until the rater leaves."""
    for position, (page, kind) in enumerate(pages[: rater.leaves_after]):
        for question in true.questions:
            answer = rater.answer({s: s for s in true.systems}, question, kind, page)
            yield Judgement(
                rater.number,
                rater.culture,
                page,
                position,
                kind,
                question,
                None if answer.cannot_judge else answer.ranks,
                answer.ratings,
                frozenset(answer.offended),
                answer.seconds,
            )


def judge_regular(rater: SimulatedRater, pages: Sequence[str], true: TrueWorths) -> Iterator[Judgement]:
    """A rater's judgements of pages that are shown once."""
    return judge(rater, [(page, Kind.regular) for page in pages], true)


def survey_of(
    true: TrueWorths, raters: Sequence[SimulatedRater], *, pages: int = 12, pool: int = 24
) -> tuple[list[Participant], list[Judgement]]:
    """All answers to `pages` of a culture's `pool`, in turn, then one repeated and one reversed."""
    participants: list[Participant] = []
    judgements: list[Judgement] = []
    for rater in raters:
        start = rater.number * 5
        names = [f"{rater.culture}-{(start + k) % pool:02d}" for k in range(min(pages, pool))]
        sequence = [(page, Kind.regular) for page in names]
        sequence += [(names[0], Kind.repeat), (names[min(1, len(names) - 1)], Kind.reversed)]
        finished = rater.leaves_after is None
        participants.append(Participant(rater.number, rater.culture, "member", "en", finished))
        judgements += judge(rater, sequence, true)
    return participants, judgements
