"""A finished study, and a simulated survey that excludes no rater."""

from __future__ import annotations

import pytest

import simulated_surveys
from human_eval.analysis.simulated_survey import Simulated
from results.study_maker import Maker
from scoft_hpc.human_eval.analysis.analyse import analyse
from scoft_hpc.human_eval.demo import simulation
from scoft_hpc.human_eval.survey import QUESTIONS, Exclusion, Survey
from surveys import SYSTEMS


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Two cultures, five variants, two seeds, all done. Read only."""
    return Maker.of(tmp_path_factory.mktemp("finished")).finish()


@pytest.fixture(scope="session")
def simulated() -> Simulated:
    """Sixteen raters of two cultures, of whom one spams."""
    quotas = {"korea": 8, "mexico": 8}
    world = simulated_surveys.true_worths(SYSTEMS, list(quotas), QUESTIONS, culture_sd=0.2)
    raters = simulation.draw_raters(world.worths, quotas, spammers=1)
    participants, judgements = simulated_surveys.survey_of(world, raters)
    survey = Survey("A survey", "study", SYSTEMS, quotas, exclusion=Exclusion(-1.0, 0.0, 0.0))
    return Simulated(
        survey, world, raters, participants, judgements, analyse(survey, participants, judgements)
    )
