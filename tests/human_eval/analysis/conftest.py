"""A simulated survey whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

import simulated_surveys
from scoft_hpc.human_eval.analysis.rankings import Rankings
from scoft_hpc.human_eval.demo import simulation
from scoft_hpc.human_eval.demo.simulation import SimulatedRater
from scoft_hpc.human_eval.judgements import Judgement, Participant
from scoft_hpc.human_eval.survey import QUESTIONS, Survey
from scoft_hpc.results.survey_results import SurveyResults
from surveys import SYSTEMS

CULTURES = ("china", "india", "korea", "mexico", "nigeria")
QUOTAS = dict(zip(CULTURES, (11, 10, 10, 10, 10), strict=True))


@dataclass(frozen=True)
class Simulated:
    """51 raters of five cultures, of whom four spam."""

    survey: Survey
    world: simulated_surveys.TrueWorths
    raters: list[SimulatedRater]
    people: list[Participant]
    said: list[Judgement]
    found: SurveyResults


@pytest.fixture(scope="session")
def simulated() -> Simulated:
    from scoft_hpc.human_eval.analysis.analyse import analyse

    world = simulated_surveys.true_worths(SYSTEMS, CULTURES, QUESTIONS, culture_sd=0.2)
    raters = simulation.draw_raters(world.worths, QUOTAS, spammers=4)
    people, said = simulated_surveys.survey_of(world, raters)
    survey = Survey("A survey", "study", SYSTEMS, QUOTAS)
    return Simulated(survey, world, raters, people, said, analyse(survey, people, said))


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
