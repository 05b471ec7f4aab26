"""Judgements as arrays: what raters said of one question, in one culture or in all."""

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
    """Rankings, a row each.

    Attributes:
        systems: the columns.
        ranks: mean ranks [n, systems], 1 the best; systems that tie share the mean of their places, and one that the
            page does not show is NaN.
        rater, page: of each row, as places in `raters` and `pages`, [n].
        raters: numbers within the survey, each with one ranking at least.
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

    def of(self, culture: str) -> Rankings:
        """Those of one culture's raters."""
        chosen = np.array([self.cultures[r] == culture for r in self.rater], dtype=bool)
        left, rater = np.unique(self.rater[chosen], return_inverse=True)
        shown, page = np.unique(self.page[chosen], return_inverse=True)
        return Rankings(
            self.systems,
            self.ranks[chosen],
            rater,
            page,
            tuple(self.raters[i] for i in left),
            tuple(self.cultures[i] for i in left),
            tuple(self.pages[i] for i in shown),
        )


def rankings(
    judgements: Iterable[Judgement], systems: Sequence[str], question: str | None = None
) -> Rankings:
    """The rankings of pages asked for their own sake; "cannot judge", repeats and reversed pages are left out.

    Of all questions, where none is named: then a page is a page under a question. Of systems that a survey does not
    name, and of pages with a single picture, nothing is said.
    """
    asked = [
        (one if question else replace(one, page=f"{one.page} {one.question}"), ranks)
        for one in judgements
        if question in (None, one.question)
        and one.kind is Kind.asked
        and (ranks := mean_ranks(one, systems)) is not None
    ]
    cultures = {one.rater: one.culture for one, _ in asked}
    raters, pages = tuple(sorted(cultures)), tuple(sorted({one.page for one, _ in asked}))
    return Rankings(
        tuple(systems),
        np.array([ranks for _, ranks in asked]).reshape(len(asked), len(systems)),
        indices_of([one.rater for one, _ in asked], raters),
        indices_of([one.page for one, _ in asked], pages),
        raters,
        tuple(cultures[rater] for rater in raters),
        pages,
    )


def mean_ranks(one: Judgement, systems: Sequence[str]) -> Array | None:
    """Mean ranks [systems], 1 the best, of a reversed page too; None where fewer than two systems are ranked."""
    if one.ranks is None:
        return None
    sign = -1.0 if one.kind is Kind.reversed else 1.0
    given = np.array([sign * one.ranks[s] if s in one.ranks else np.nan for s in systems])
    return mean_ranks_of(given) if np.isfinite(given).sum() > 1 else None


def mean_ranks_of(given: Array) -> Array:
    """Ranks of any kind [..., systems], NaN where not shown, as mean ranks."""
    better = (given[..., None, :] < given[..., :, None]).sum(axis=-1)
    alike = (given[..., None, :] == given[..., :, None]).sum(axis=-1)
    return np.where(np.isfinite(given), better + (alike + 1) / 2, np.nan)


def indices_of(found: Sequence[object], among: Sequence[object]) -> Index:
    """Where each of `found` stands in `among`."""
    at = {one: i for i, one in enumerate(among)}
    return np.array([at[one] for one in found], dtype=np.intp)
