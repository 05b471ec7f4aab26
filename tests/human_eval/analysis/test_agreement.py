"""α and τ against their definitions, and which rule excludes which rater."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import krippendorff
import numpy as np
import pytest
from scipy.stats import kendalltau

from human_eval.analysis.simulated_survey import Simulated, of_ranks
from scoft_hpc.human_eval.analysis.agreement import agreement, consistency, tau
from scoft_hpc.human_eval.analysis.exclusion import exclude
from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant
from scoft_hpc.human_eval.survey import Exclusion, Question, Survey

SYSTEMS = ("a", "b", "c", "d")
GIVEN = {"a": 1, "b": 2, "c": 3, "d": 4}
SURVEY = Survey("t", "s", SYSTEMS, {"korea": 5}, questions=(Question("culture"),), pages=4)


def judgement(rater: int, page: str, kind: Kind = Kind.regular, **changes: Any) -> Judgement:
    return replace(
        Judgement(rater, "korea", page, 0, kind, "culture", GIVEN, seconds=9.0),
        **changes,
    )


def person(rater: int, affiliation: str = "member") -> Participant:
    return Participant(rater, "korea", affiliation, "en", True)


def test_alpha_is_that_of_the_table_of_raters_and_images() -> None:
    rng = np.random.default_rng(0)
    ranks = np.array([rng.permutation(4) + 1 for _ in range(18)])
    raters, pages = [k // 6 for k in range(18)], [k % 6 for k in range(18)]
    table = np.full((3, 24), np.nan)
    for row, rater, page in zip(ranks, raters, pages, strict=True):
        table[rater, 4 * page : 4 * page + 4] = row
    alpha = agreement(of_ranks(ranks.tolist(), raters, pages=pages))
    assert alpha is not None
    expected = krippendorff.alpha(reliability_data=table, level_of_measurement="ordinal")
    assert alpha.value == pytest.approx(expected)
    assert alpha.low is not None and alpha.high is not None
    assert alpha.low < alpha.value < alpha.high


def test_cultures_of_two_raters_are_in_the_interval() -> None:
    """Without either of two the culture's pairs are gone: both say the same, which is not that they tell nothing."""
    rng, estimates = np.random.default_rng(0), []
    rater, page = np.repeat(np.arange(12), 6), np.tile(np.arange(6), 12)
    sizes = (2, 2, 2, 2, 4)
    of = np.repeat(np.arange(5), sizes)
    for _ in range(60):
        worths = np.array([0, 0.7, 1.4]) + rng.normal(size=(12, 3))
        utility = worths[rater] + rng.gumbel(size=(72, 3))
        ranks = np.argsort(np.argsort(-utility, axis=1), axis=1) + 1
        estimate = agreement(of_ranks(ranks.tolist(), rater, [str(c) for c in of], page + 6 * of[rater]))
        assert estimate is not None
        estimates.append((estimate.value, estimate.low, estimate.high))
    alpha, low, high = np.array(estimates, dtype=float).T
    assert ((low <= alpha.mean()) & (alpha.mean() <= high)).mean() >= 0.88


def test_unanimous_raters_have_no_interval_and_equal_ranks_no_alpha() -> None:
    raters, pages = [0, 0, 1, 1, 2, 2], [0, 1] * 3
    unanimous = agreement(of_ranks([[1, 2, 3]] * 6, raters, pages=pages))
    assert unanimous is not None
    assert unanimous.value == pytest.approx(1)
    assert not unanimous.has_interval
    assert agreement(of_ranks([[2, 2, 2]] * 6, raters, pages=pages)) is None
    assert agreement(of_ranks([[1, 2, 3]] * 2, [0, 1], pages=[0, 1])) is None, "no picture seen by two"


@pytest.mark.parametrize("seed", range(5))
def test_tau_is_kendalls(seed: int) -> None:
    x, y = np.random.default_rng(seed).integers(1, 4, size=(2, 5)).astype(float)
    assert tau(x, y) == pytest.approx(kendalltau(x, y).statistic)


def test_of_two_flat_rankings_tau_is_one_and_of_one_it_is_zero() -> None:
    flat, steep = np.full(3, 2.0), np.array([1.0, 2, 3])
    assert (tau(flat, flat), tau(flat, steep)) == (1, 0)


def test_a_reversed_page_is_mirrored() -> None:
    mirrored = {system: 5 - rank for system, rank in GIVEN.items()}
    answers = [
        judgement(1, "p0"),
        judgement(1, "p0", Kind.reversed, ranks=mirrored),
        judgement(2, "p0"),
        judgement(2, "p0", Kind.reversed),
        judgement(3, "p0"),
        judgement(3, "p0", Kind.repeat),
        judgement(4, "p0", Kind.repeat),
        judgement(5, "p0"),
        judgement(5, "p0", Kind.repeat, ranks=None),
    ]
    assert consistency(answers, SYSTEMS) == {1: 1, 2: -1, 3: 1}


def test_each_rule_leaves_out_whom_it_should() -> None:
    rules = Exclusion(consistency=0.2, seconds=2.0, answered=0.5, affiliations=("member",))
    all_pages = [f"p{k}" for k in range(4)]
    answers = [judgement(1, page) for page in all_pages]
    answers += [judgement(2, page, seconds=1.0) for page in all_pages]
    answers += [judgement(3, page) for page in all_pages] + [judgement(3, "p0", Kind.reversed)]
    answers += [judgement(4, all_pages[0])]
    answers += [judgement(5, page) for page in all_pages]
    answers += [judgement(7, page, ranks=None, seconds=0.0) for page in all_pages]
    participants = [person(1), person(2), person(3), person(4), person(5, "other"), person(6), person(7)]
    result = exclude(replace(SURVEY, exclusion=rules), participants, answers)
    assert result.included == {1, 7}, "to be unable to judge is an answer, and a time not known is none"
    assert {rule: set(raters) for rule, raters in result.reasons.items()} == {
        "silent": {6},
        "affiliation": {5},
        "answered": {4},
        "seconds": {2},
        "consistency": {3},
    }


def test_a_rater_of_a_culture_with_few_pages_need_answer_no_more() -> None:
    answers = [judgement(1, "p0")]
    assert exclude(SURVEY, [person(1)], answers).included == frozenset()
    assert exclude(SURVEY, [person(1)], answers, {"korea": 2}).included == {1}


@pytest.mark.slow
def test_spammers_are_excluded_and_the_primary_comparison_is_reported_with_and_without_them(
    simulated: Simulated,
) -> None:
    spam = {rater.number for rater in simulated.raters if rater.spams}
    assert exclude(simulated.survey, simulated.participants, simulated.judgements).excluded == spam
    assert simulated.results.n_excluded == len(spam)
    assert simulated.results.primary.test.raters == 51 - len(spam)
    assert simulated.results.primary.without_exclusions.raters == 51
