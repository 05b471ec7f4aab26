"""Judgements as arrays: the rankings under one question, from one culture or from all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scoft_hpc.human_eval.judgements import Judgement, Kind

Array = NDArray[np.float64]
Index = NDArray[np.intp]


@dataclass(frozen=True)
class Rankings:
    """One ranking per row.

    Attributes:
        systems: the columns.
        ranks: mean ranks [n, systems], 1 the best; systems that tie share the mean of their places, and one that the
            page does not show is NaN.
        rater, page: indices into `raters` and `pages`, [n].
        raters: numbers within the survey, each with at least one ranking.
        cultures: of each of `raters`.
    """

    systems: tuple[str, ...]
    ranks: Array
    rater: Index
    page: Index
    raters: tuple[int, ...]
    cultures: tuple[str, ...]
    pages: tuple[str, ...]

    @property
    def strata(self) -> Index:
        """The culture of each rater as a number from 0, [raters]."""
        return indices_of(self.cultures, tuple(dict.fromkeys(self.cultures)))

    def for_culture(self, culture: str) -> Rankings:
        rows = np.array([self.cultures[r] == culture for r in self.rater], dtype=bool)
        raters, rater = np.unique(self.rater[rows], return_inverse=True)
        pages, page = np.unique(self.page[rows], return_inverse=True)
        return Rankings(
            self.systems,
            self.ranks[rows],
            rater,
            page,
            tuple(self.raters[i] for i in raters),
            tuple(self.cultures[i] for i in raters),
            tuple(self.pages[i] for i in pages),
        )


def select_rankings(
    judgements: Iterable[Judgement], systems: Sequence[str], question: str | None = None
) -> Rankings:
    """The rankings of regular pages, without "cannot judge", repeated and reversed pages.

    Without `question`, those of all questions: then a page under a question counts as a page. Ignores systems that are
    not in `systems`, and rankings of fewer than two images.
    """
    selected = [
        (j if question else replace(j, page=f"{j.page} {j.question}"), ranks)
        for j in judgements
        if question in (None, j.question)
        and j.kind is Kind.regular
        and (ranks := mean_ranks(j, systems)) is not None
    ]
    cultures = {j.rater: j.culture for j, _ in selected}
    raters, pages = tuple(sorted(cultures)), tuple(sorted({j.page for j, _ in selected}))
    return Rankings(
        tuple(systems),
        np.array([ranks for _, ranks in selected]).reshape(len(selected), len(systems)),
        indices_of([j.rater for j, _ in selected], raters),
        indices_of([j.page for j, _ in selected], pages),
        raters,
        tuple(cultures[rater] for rater in raters),
        pages,
    )


def mean_ranks(judgement: Judgement, systems: Sequence[str]) -> Array | None:
    """Mean ranks [systems], 1 the best, also of a reversed page; None where fewer than two systems are ranked."""
    ranks = judgement.ranks
    if ranks is None:
        return None
    sign = -1.0 if judgement.kind is Kind.reversed else 1.0
    signed = np.array([sign * ranks[s] if s in ranks else np.nan for s in systems])
    return mean_ranks_of(signed) if np.isfinite(signed).sum() > 1 else None


def mean_ranks_of(ranks: Array) -> Array:
    """Ranks of any kind [..., systems], NaN where not shown, as mean ranks."""
    better = (ranks[..., None, :] < ranks[..., :, None]).sum(axis=-1)
    equal = (ranks[..., None, :] == ranks[..., :, None]).sum(axis=-1)
    return np.where(np.isfinite(ranks), better + (equal + 1) / 2, np.nan)


def indices_of(items: Sequence[object], options: Sequence[object]) -> Index:
    """The index of each item in `options`."""
    index = {option: i for i, option in enumerate(options)}
    return np.array([index[item] for item in items], dtype=np.intp)
