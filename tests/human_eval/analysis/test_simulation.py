"""Simulated raters: the same answers wherever they are asked, in Plackett–Luce proportions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import simulated_surveys
from human_eval.analysis.simulated_survey import CULTURES, QUOTAS
from scoft_hpc.human_eval.demo import simulation
from scoft_hpc.human_eval.demo.simulation import SimulatedRater
from scoft_hpc.human_eval.judgements import Kind
from surveys import SYSTEMS

WORTHS = {"culture": {"a": 0.0, "b": 1.0, "c": -0.5}}
IMAGES = {"x": "a", "y": "b", "z": "c"}


def rater(**changes: Any) -> SimulatedRater:
    plain = {"tie_margin": 0.0, "abstain_rate": 0.0, "offence_rate": 0.0}
    return SimulatedRater(1, "korea", WORTHS, **{**plain, **changes})


def test_a_rater_answers_a_page_alike_whenever_and_under_whatever_names() -> None:
    answer = rater().answer(IMAGES, "culture", Kind.regular, "p1")
    assert answer == rater().answer(dict(reversed(IMAGES.items())), "culture", Kind.regular, "p1")
    renamed = rater().answer({"k": "c", "l": "b", "m": "a"}, "culture", Kind.regular, "p1")
    assert [renamed.ranks[name] for name in "mlk"] == [answer.ranks[name] for name in "xyz"]
    pages = {
        tuple(rater().answer(IMAGES, "culture", Kind.regular, f"p{k}").ranks.values()) for k in range(30)
    }
    assert len(pages) > 3


@pytest.mark.parametrize("skill", [0.5, 1.0, 2.0])
def test_the_better_of_two_wins_as_often_as_bradley_and_terry_say(skill: float) -> None:
    two = {"x": "a", "y": "b"}
    simulated_rater = rater(skill=skill)
    won = [simulated_rater.answer(two, "culture", Kind.regular, str(k)).ranks["y"] == 1 for k in range(2000)]
    assert np.mean(won) == pytest.approx(1 / (1 + np.exp(-skill)), abs=0.035)


def test_a_reversed_page_is_turned_by_who_reads_it() -> None:
    attentive, careless = rater(skill=20.0), rater(skill=20.0, attentive=False)
    best = attentive.answer(IMAGES, "culture", Kind.regular, "p").ranks
    assert best == {"x": 2, "y": 1, "z": 3}
    assert attentive.answer(IMAGES, "culture", Kind.reversed, "p").ranks == {"x": 2, "y": 3, "z": 1}
    assert careless.answer(IMAGES, "culture", Kind.reversed, "p").ranks == best


def test_ties_abstentions_offence_spam_and_drop_outs() -> None:
    assert set(rater(tie_margin=99.0).answer(IMAGES, "culture", Kind.regular, "p").ranks.values()) == {1}
    unable = rater(abstain_rate=1.0).answer(IMAGES, "culture", Kind.regular, "p")
    assert unable.cannot_judge and not unable.ranks
    assert "z" in rater(offence_rate=1.0).answer(IMAGES, "culture", Kind.regular, "p").offended
    assert rater(spams=True).answer(IMAGES, "culture", Kind.regular, "p").seconds < 2
    true = simulated_surveys.true_worths(("a", "b", "c"), ("korea",), ("culture",))
    pages = [f"p{k}" for k in range(5)]
    assert len(list(simulated_surveys.judge_regular(rater(leaves_after=2), pages, true))) == 2
    ratings = rater().answer(IMAGES, "culture", Kind.regular, "p").ratings
    assert set(ratings) == set(IMAGES) and set(ratings.values()) <= {1, 2, 3, 4, 5}


def test_a_survey_has_everybody_and_their_attention_pages() -> None:
    true = simulated_surveys.true_worths(SYSTEMS, CULTURES, ("culture",))
    everybody = simulation.draw_raters(true.worths, QUOTAS, spammers=2)
    participants, judgements = simulated_surveys.survey_of(true, everybody)
    assert len(participants) == 51 == len({item.rater for item in participants})
    assert sum(item.finished for item in participants) == 51 - 5
    of_one = [item for item in judgements if item.rater == 1]
    assert [item.kind for item in of_one[-2:]] == [Kind.repeat, Kind.reversed]
    assert of_one[-2].page == of_one[0].page
    assert participants == simulated_surveys.survey_of(true, everybody)[0]
    assert judgements == simulated_surveys.survey_of(true, everybody)[1]
