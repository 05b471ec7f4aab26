"""The demo's truth: closed forms agree with simulated raters, and results that contradict the truth are detected."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import simulated_surveys
from human_eval.analysis.simulated_survey import Simulated
from results.study_maker import Maker
from scoft_hpc.errors import RatingError
from scoft_hpc.human_eval.analysis import mmsr
from scoft_hpc.human_eval.analysis.rankings import select_rankings
from scoft_hpc.human_eval.demo import truth
from scoft_hpc.human_eval.demo.simulation import SimulatedRater
from scoft_hpc.human_eval.demo.truth import Recovery, RecoveryReport
from scoft_hpc.human_eval.judgements import Kind
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.results import study
from scoft_hpc.results.survey_results import IntervalEstimate

SYSTEMS = ("base", "m", "mpc")
WORTHS = {"culture": {"base": -0.8, "m": 0.1, "mpc": 0.7}, "match": {"base": 0.2, "m": 0.0, "mpc": -0.2}}
HOLDS, MISSES = Recovery(0.5, IntervalEstimate(0.5, 0.4, 0.6)), Recovery(0.7, IntervalEstimate(0.5, 0.4, 0.6))
GOOD = RecoveryReport((HOLDS,) * 5, 6, 3, 0, (HOLDS,) * 5, 0.5)


@pytest.mark.parametrize(
    ("skill", "tie", "spams"), [(0.4, 0.1, False), (1.8, 0.1, False), (1.0, 0.8, False), (1.8, 0.1, True)]
)
def test_a_system_wins_as_often_as_the_closed_form_says(skill: float, tie: float, spams: bool) -> None:
    """Of 2,500 pages with three systems, among which ties can chain."""
    rater = SimulatedRater(1, "korea", WORTHS, skill=skill, tie_margin=tie, spams=spams, abstain_rate=0.0)
    won = []
    for k in range(2500):
        ranks = rater.answer({s: s for s in SYSTEMS}, "culture", Kind.regular, f"p{k}").ranks
        won.append((1 + np.sign(ranks["base"] - ranks["mpc"])) / 2)
    assert truth.win_rate(rater, "culture", "mpc", "base") == pytest.approx(np.mean(won), abs=0.03)
    both = truth.win_rate(rater, "culture", "mpc", "base") + truth.win_rate(rater, "culture", "base", "mpc")
    assert both == pytest.approx(1)


def test_without_ties_it_is_bradley_and_terrys() -> None:
    rater = SimulatedRater(1, "korea", WORTHS, skill=2.0, tie_margin=0.0)
    assert truth.win_rate(rater, "culture", "mpc", "base") == pytest.approx(1 / (1 + math.exp(-3.0)))


def test_skills_are_what_countless_pages_say() -> None:
    """600 pages: M-MSR's accuracies are within a few in a hundred, where the chance to be right is well below."""
    true = simulated_surveys.TrueWorths(SYSTEMS, ("korea",), tuple(WORTHS), {"korea": WORTHS})
    raters = [
        SimulatedRater(k, "korea", WORTHS, skill=s, abstain_rate=0.0, spams=s == 0)
        for k, s in enumerate([0, 0.5, 1, 1.5, 2, 3], 1)
    ]
    judgements = [
        j
        for rater in raters
        for j in simulated_surveys.judge_regular(rater, [f"p{k}" for k in range(600)], true)
    ]
    accuracies = mmsr.fit(mmsr.task_labels(select_rankings(judgements, SYSTEMS))).accuracy
    assert truth.limit_accuracies(raters) == pytest.approx(accuracies, abs=0.05)
    assert (np.diff(truth.limit_accuracies(raters)) > 0).all()


def test_a_survey_of_the_raters_agrees_and_of_others_does_not(simulated: Simulated) -> None:
    results = simulated.results
    compared = truth.compare(results, simulated.raters)
    assert compared.agrees
    assert truth.count_covered(compared.wins)[1] == 4 * 3 * (2 + 1)
    assert compared.separated > 4
    assert truth.count_covered(compared.skills)[1] == 16

    mirrored = [
        replace(rater, worths={q: {s: -w for s, w in of.items()} for q, of in rater.worths.items()})
        for rater in simulated.raters
    ]
    against = truth.compare(results, mirrored)
    assert not against.agrees
    assert against.reversed == against.separated == compared.separated

    raters_of_other_skill = [
        replace(rater, skill=2.2 - rater.skill, spams=False) for rater in simulated.raters
    ]
    mistaken = truth.compare(results, raters_of_other_skill)
    assert mistaken.skill_correlation < 0
    assert not mistaken.agrees


@pytest.mark.parametrize(
    "changes",
    [
        {"wins": ()},
        {"wins": (HOLDS,) * 3 + (MISSES,) * 2},
        {"wins": (Recovery(0.5, IntervalEstimate(0.5)),)},
        {"reversed": 1},
        {"reversed": 2, "pairs": 24},
        {"skills": (HOLDS,) * 3 + (MISSES,) * 2},
        {"skill_correlation": 0.0},
    ],
)
def test_what_does_not_agree(changes: dict[str, Any]) -> None:
    assert GOOD.agrees
    assert replace(GOOD, skills=(), skill_correlation=math.nan).agrees, (
        "too few raters to tell a skill of contradict nothing"
    )
    assert replace(GOOD, reversed=1, pairs=24).agrees, (
        "of systems that are alike, one order in twenty goes wrong"
    )
    assert not replace(GOOD, **changes).agrees


def test_an_interval_that_begins_at_zero_separates_systems(simulated: Simulated) -> None:
    original = simulated.results
    table = original.table("culture")
    ends = {"base": IntervalEstimate(-1, -2, -0.5), "mpc": IntervalEstimate(1, 0.0, 2)}
    results = tuple(
        replace(result, worth=ends[result.system]) for result in table.results if result.system in ends
    )
    alone = replace(original, questions=("culture",), tables=(replace(table, results=results),))
    assert truth.compare(alone, simulated.raters).separated == 1


def test_the_world_is_what_the_runs_were_scored_with_and_one_without_scores_is_named(finished: Maker) -> None:
    read = study.read(finished.folder)
    survey = Survey("t", read.name, ("base", "mpc"), {"korea": 2})
    worths = truth.true_worths(read, survey)
    styles = {s: [r.metric("in_style") for r in read.of(culture="korea", variant=s)] for s in survey.systems}
    gap = 3.0 * (np.mean(styles["mpc"]) - np.mean(styles["base"]))
    worth = worths["korea"]["culture"]
    assert worth["mpc"] - worth["base"] == pytest.approx(gap)
    assert sum(worth.values()) == pytest.approx(0)
    unscored = replace(read, runs=tuple(replace(run, scores={}) for run in read.runs))
    with pytest.raises(RatingError, match="korea base was not scored for subject"):
        truth.true_worths(unscored, survey)


def test_the_tables_fit_a_terminal(simulated: Simulated) -> None:
    console = Console(width=80, record=True, quiet=False, file=io.StringIO())
    for part in truth.render(truth.compare(simulated.results, simulated.raters), "base"):
        console.print(part)
    console.file.close()
    text = console.export_text()
    sentences = " ".join(text.split())
    assert "intervals of win rates cover the true value" in sentences
    assert "intervals of raters' skills cover the true value" in sentences
    assert max(map(len, text.splitlines())) <= 80
