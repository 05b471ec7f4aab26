"""M-MSR beside crowd-kit, and against skills that are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from crowdkit.aggregation import MMSR
from scipy.stats import spearmanr

import simulated_surveys
from human_eval.analysis.simulated_survey import Simulated, of_ranks
from scoft_hpc.human_eval.analysis import mmsr
from scoft_hpc.human_eval.analysis.rankings import Rankings, select_rankings
from scoft_hpc.human_eval.demo.simulation import SimulatedRater
from surveys import SYSTEMS


def labels_of(
    seed: int, raters: int = 10, tasks: int = 80, coverage: float = 1.0, foes: int = 0
) -> np.ndarray:
    """One coin a rater, whose chances are known; `foes` answer in bad faith."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.6, 0.95, raters)
    chance[:foes] = 0.15
    truth = rng.choice([1, -1], tasks)
    labels = np.where(rng.random((raters, tasks)) < chance[:, None], truth, -truth)
    return np.where(rng.random((raters, tasks)) < coverage, labels, 0).astype(np.int8)


def as_rows(labels: np.ndarray) -> pd.DataFrame:
    worker, task = np.nonzero(labels)
    return pd.DataFrame({"task": task, "worker": worker, "label": labels[worker, task]})


@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")  # of crowd-kit's own calls
@pytest.mark.parametrize(("seed", "coverage", "foes"), [(0, 1.0, 0), (1, 0.7, 0), (2, 1.0, 2), (3, 0.8, 1)])
def test_crowdkit_finds_the_same_skills_and_labels(seed: int, coverage: float, foes: int) -> None:
    labels = labels_of(seed, coverage=coverage, foes=foes)
    oracle = MMSR()
    voted = oracle.fit_predict(as_rows(labels))
    fitted = mmsr.fit(labels)
    assert fitted.weight == pytest.approx(oracle.skills_.sort_index().to_numpy(), abs=1e-6)
    assert fitted.vote[voted.index].tolist() == voted.tolist()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
@pytest.mark.parametrize(("raters", "n_equal"), [(12, 6), (13, 2)])
def test_where_ours_and_crowdkits_come_to_rest_apart_crowdkits_own_starts_do(
    raters: int, n_equal: int
) -> None:
    """Of six sets of labels: what trimming leaves of some numbers of raters has several ends, and crowd-kit starts
    anywhere."""
    same = 0
    for seed in range(6):
        labels = labels_of(seed, raters=raters)
        weights = np.abs(mmsr.fit(labels).weight)
        crowdkit_weights = [
            np.abs(MMSR(random_state=start).fit(as_rows(labels)).skills_.sort_index().to_numpy())
            for start in range(3)
        ]
        weights = np.where(
            crowdkit_weights[0] == 0, 0, weights
        )  # a rater of whom its eigenvector says nothing
        same += np.allclose(weights, crowdkit_weights[0], atol=1e-5)
        assert np.abs(weights - crowdkit_weights[0]).max() <= max(
            1e-5, 8 * np.ptp(crowdkit_weights, axis=0).max()
        )
    assert same == n_equal


def test_raters_in_bad_faith_have_negative_skills() -> None:
    fitted = mmsr.fit(labels_of(4, raters=12, foes=3))
    assert (fitted.skill[:3] < -0.4).all()
    assert (fitted.skill[3:] > 0).all()


@pytest.mark.parametrize("rows", [[[1, 2, 3]] * 6, [[2, 2, 2]] * 6, [[1, 2, 3]]])
def test_unanimous_flat_or_single_answers_do_no_harm(rows: list[list[float]]) -> None:
    raters, pages = [k % 3 for k in range(len(rows))], [k // 3 for k in range(len(rows))]
    rankings = of_ranks(rows, raters, pages=pages)
    fitted = mmsr.fit(mmsr.task_labels(rankings))
    assert np.isfinite([fitted.skill, fitted.weight]).all()


def known_raters(
    seed: int, pages: int = 40, apart: float = 3.0, image_sd: float = 0.0
) -> tuple[Rankings, np.ndarray]:
    """Twelve raters who see nothing to very well, on the same pages."""
    true = simulated_surveys.true_worths(SYSTEMS, ("korea",), ("culture",), apart=apart)
    skill = np.linspace(0.0, 3.0, 12)
    raters = [
        SimulatedRater(
            n, "korea", true.worths["korea"], skill=float(s), abstain_rate=0.0, image_sd=image_sd, seed=seed
        )
        for n, s in enumerate(skill, 1)
    ]
    judgements = [
        j
        for rater in raters
        for j in simulated_surveys.judge_regular(rater, [f"p{k}" for k in range(pages)], true)
    ]
    return select_rankings(judgements, SYSTEMS, "culture"), skill


def as_published(rankings: Rankings) -> np.ndarray:
    """Labels [raters, pairs] under the authors' key, which knows no page: a rater's last row on a pair counts."""
    pairs = list(combinations(range(len(rankings.systems)), 2))
    labels = np.zeros((len(rankings.raters), len(pairs)), dtype=np.int8)
    for rater, ranks in zip(rankings.rater, rankings.ranks, strict=True):
        row = np.array([np.sign(ranks[second] - ranks[first]) for first, second in pairs])
        labels[rater] = np.where(np.nan_to_num(row) != 0, row, labels[rater])
    return labels


def skill_correlations(apart: float, image_sd: float, seeds: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Spearman's ρ of estimated and true skills: keyed by page, and as published with the rows in any order."""
    rng = np.random.default_rng(0)
    keyed, published = [], []
    for seed in range(seeds):
        rankings, skill = known_raters(seed, apart=apart, image_sd=image_sd)
        keyed.append(spearmanr(mmsr.estimate_skills(mmsr.task_labels(rankings)), skill).statistic)
        for _ in range(5):
            order = rng.permutation(len(rankings.ranks))
            rows = replace(
                rankings, ranks=rankings.ranks[order], rater=rankings.rater[order], page=rankings.page[order]
            )
            published.append(spearmanr(mmsr.estimate_skills(as_published(rows)), skill).statistic)
    return np.array(keyed), np.array(published)


def test_keyed_by_page_skills_are_recovered_and_as_published_they_are_noise() -> None:
    """Where pictures differ within a system, the authors' key mixes up what is true of one page and of another."""
    keyed, published = skill_correlations(apart=0.0, image_sd=1.5)
    assert keyed.min() > 0.84
    assert abs(published.mean()) < 0.2


def test_where_a_system_is_as_good_on_every_page_the_published_key_still_loses() -> None:
    keyed, published = skill_correlations(apart=3.0, image_sd=0.0)
    assert keyed.min() > 0.84
    assert published.mean() < keyed.mean() - 0.2


def test_row_order_changes_nothing_that_is_keyed_by_page() -> None:
    rankings, _ = known_raters(0)
    order = np.random.default_rng(1).permutation(len(rankings.ranks))
    rows = replace(
        rankings, ranks=rankings.ranks[order], rater=rankings.rater[order], page=rankings.page[order]
    )
    assert (mmsr.task_labels(rows) == mmsr.task_labels(rankings)).all()


def test_the_weighted_majority_ranks_the_systems_as_they_are() -> None:
    rankings, _ = known_raters(0)
    shares = mmsr.majority_shares(rankings, mmsr.fit(mmsr.task_labels(rankings)).vote)
    assert sorted(SYSTEMS, key=shares.__getitem__) == list(SYSTEMS)


def test_a_skill_has_an_interval_over_pages() -> None:
    rankings, _ = known_raters(0)
    low, high = mmsr.accuracy_interval(rankings, np.random.default_rng(0), 60)
    value = mmsr.fit(mmsr.task_labels(rankings)).accuracy
    assert ((low <= value) & (value <= high)).all()
    assert (high - low < 0.4).all()


def test_the_interval_of_a_skill_holds_the_chance_of_being_right() -> None:
    """Of 80 raters of one coin, ten a survey: 95 of a hundred."""
    hits = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        chance = rng.uniform(0.6, 0.95, 10)
        better = (rng.random((10, 40)) < chance[:, None]) == (rng.random(40) < 0.5)
        ranks = np.stack([np.where(better, 1, 2), np.where(better, 2, 1)], axis=-1).reshape(-1, 2)
        rankings = of_ranks(ranks.tolist(), np.repeat(np.arange(10), 40).tolist(), pages=list(range(40)) * 10)
        low, high = mmsr.accuracy_interval(rankings, rng, 40)
        hits += list((low <= chance) & (chance <= high))
    assert np.mean(hits) >= 0.88


def test_the_survey_reports_every_skill_in_the_right_order(simulated: Simulated) -> None:
    true = {rater.number: rater.skill for rater in simulated.raters}
    skills = simulated.results.skills
    assert len(skills) == 47
    assert (
        spearmanr([item.accuracy.value for item in skills], [true[item.rater] for item in skills]).statistic
        > 0.5
    )
    for question in simulated.survey.questions:
        votes = {item.system: item for item in simulated.results.votes if item.question == question.name}
        assert sorted(SYSTEMS, key=lambda s: votes[s].majority) == list(SYSTEMS)
