"""A simulated survey whose truth is known."""

from __future__ import annotations

import pytest

import simulated_surveys
from human_eval.analysis.simulated_survey import CULTURES, QUOTAS, Simulated
from scoft_hpc.human_eval.demo import simulation
from scoft_hpc.human_eval.survey import QUESTIONS, Survey
from surveys import SYSTEMS


@pytest.fixture(scope="session")
def simulated() -> Simulated:
    from scoft_hpc.human_eval.analysis.analyse import analyse

    world = simulated_surveys.true_worths(SYSTEMS, CULTURES, QUESTIONS, culture_sd=0.2)
    raters = simulation.draw_raters(world.worths, QUOTAS, spammers=4)
    participants, judgements = simulated_surveys.survey_of(world, raters)
    survey = Survey("A survey", "study", SYSTEMS, QUOTAS)
    return Simulated(
        survey, world, raters, participants, judgements, analyse(survey, participants, judgements)
    )
