"""A simulated survey whose truth is known, and rankings made from tables of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

import simulated_surveys
from scoft_hpc.human_eval.analysis.rankings import Rankings
from scoft_hpc.human_eval.demo.simulation import SimulatedRater
from scoft_hpc.human_eval.judgements import Judgement, Participant
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.results.survey_results import SurveyResults

CULTURES = ("china", "india", "korea", "mexico", "nigeria")


QUOTAS = dict(zip(CULTURES, (11, 10, 10, 10, 10), strict=True))


@dataclass(frozen=True)
class Simulated:
    """51 raters of five cultures, of whom four spam."""

    survey: Survey
    world: simulated_surveys.TrueWorths
    raters: list[SimulatedRater]
    participants: list[Participant]
    judgements: list[Judgement]
    results: SurveyResults


def of_ranks(
    ranks: Sequence[Sequence[float]],
    raters: Sequence[int] | None = None,
    cultures: Sequence[str] | None = None,
    pages: Sequence[int] | None = None,
) -> Rankings:
    """Rankings from rows of mean ranks; by default each of another rater, of one culture, on a page of its own."""
    table: NDArray[np.float64] = np.array(ranks, dtype=np.float64)
    rows = len(table)
    of = np.arange(rows) if raters is None else np.array(raters)
    on = np.arange(rows) if pages is None else np.array(pages)
    count = int(of.max(initial=-1)) + 1
    return Rankings(
        tuple("abcdefgh"[: table.shape[1]]),
        table,
        of,
        on,
        tuple(range(count)),
        tuple(["korea"] * count if cultures is None else cultures),
        tuple(f"p{k}" for k in range(int(on.max(initial=-1)) + 1)),
    )
