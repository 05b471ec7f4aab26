"""Analyse judgements into `SurveyResults`. Pure, and deterministic for a seed."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from scoft_hpc.human_eval.analysis import metric_agreement, mmsr, plackett_luce, sign_flip, win_rates
from scoft_hpc.human_eval.analysis.agreement import agreement, consistency
from scoft_hpc.human_eval.analysis.bootstrap import Resamples, resample
from scoft_hpc.human_eval.analysis.exclusion import exclude
from scoft_hpc.human_eval.analysis.rankings import Array, Rankings, select_rankings
from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.results.holm import holm
from scoft_hpc.results.study import BASE, Study
from scoft_hpc.results.survey_results import (
    POOLED,
    IntervalEstimate,
    MetricAgreement,
    PairwiseTest,
    Panel,
    PrimaryResult,
    RaterSkill,
    SurveyResults,
    SystemResult,
    Table,
    WeightedVote,
    finite,
)


def analyse(
    survey: Survey,
    participants: Sequence[Participant],
    judgements: Sequence[Judgement],
    study: Study | None = None,
    pages: Sequence[Page] = (),
) -> SurveyResults:
    """All results; those about metrics only with the study that has their values."""
    raters = {participant.rater for participant in participants}
    everyone = sorted(
        (j for j in judgements if j.rater in raters), key=lambda j: (j.rater, j.position, j.page, j.question)
    )
    exclusion = exclude(survey, participants, everyone, Counter(page.culture for page in pages) or None)
    included = [j for j in everyone if j.rater in exclusion.included]
    tables = tuple(_tables(survey, included))
    tau = sorted(consistency(everyone, survey.systems).values())
    test = partial(_test, survey, survey.primary.question, survey.primary.system, survey.primary.against)
    return SurveyResults(
        title=survey.title,
        questions=tuple(question.name for question in survey.questions),
        systems=survey.systems,
        against=reference(survey),
        panels=tuple(_panels(survey, participants, exclusion.included)),
        primary=PrimaryResult(survey.primary.alpha, test(included), test(everyone)),
        tables=tables,
        tests=tuple(_tests(survey, included)),
        excluded={rule: len(broken_by) for rule, broken_by in exclusion.reasons.items() if broken_by},
        n_excluded=len(exclusion.excluded),
        consistency=tuple(float(q) for q in np.quantile(tau, [0.25, 0.5, 0.75])) if tau else (),
        skills=tuple(_skills(survey, included)),
        votes=tuple(_votes(survey, included)),
        metric_agreement=tuple(_metric_agreement(survey, included, tables, study, pages)) if study else (),
        min_cell_size=survey.small,
    )


def reference(survey: Survey) -> str:
    """The system with which the others are compared: the base, if the survey shows it."""
    return BASE if BASE in survey.systems else survey.primary.against


def _rng(survey: Survey, *purpose: str) -> np.random.Generator:
    """A generator per purpose: what one table draws does not change another."""
    return np.random.default_rng([survey.seed, zlib.crc32("/".join(purpose).encode())])


def _panels(
    survey: Survey, participants: Sequence[Participant], included: Collection[int]
) -> Iterator[Panel]:
    for culture in dict.fromkeys([*survey.quotas, *(participant.culture for participant in participants)]):
        raters = [participant.rater for participant in participants if participant.culture == culture]
        n_analysed = sum(rater in included for rater in raters)
        yield Panel(culture, survey.quotas.get(culture, 0), len(raters), n_analysed)


def _tables(survey: Survey, judgements: Sequence[Judgement]) -> Iterator[Table]:
    for question in survey.questions:
        pooled = select_rankings(judgements, survey.systems, question.name)
        regular = [j for j in judgements if j.question == question.name and j.kind is Kind.regular]
        for culture in (POOLED, *survey.quotas):
            rankings = pooled if culture == POOLED else pooled.for_culture(culture)
            answers = [j for j in regular if culture in (POOLED, j.culture)]
            n_raters = len(rankings.raters)
            is_reported = n_raters >= max(1 if culture == POOLED else survey.small, 1)
            results = (
                _system_results(survey, question.name, culture, rankings, answers) if is_reported else ()
            )
            yield Table(
                question=question.name,
                culture=culture,
                raters=n_raters,
                rankings=len(rankings.ranks),
                n_cannot_judge=sum(j.ranks is None for j in answers),
                agreement=agreement(rankings) if is_reported else None,
                results=tuple(results),
            )


def _system_results(
    survey: Survey, question: str, culture: str, rankings: Rankings, judgements: Sequence[Judgement]
) -> Iterator[SystemResult]:
    """Of the systems that some page shows; cultures have equal weight in every number."""
    resamples = resample(rankings.strata, _rng(survey, "worths", question, culture))
    worth = plackett_luce.estimate_worths(rankings, resamples)
    against = reference(survey)
    win = win_rates.estimate_rate(win_rates.count_wins(rankings, against), rankings.strata, resamples)
    n_levels = 2 * len(rankings.systems) - 1
    for k, system in enumerate(rankings.systems):
        ranks = rankings.ranks[:, k]
        rows = np.flatnonzero(np.isfinite(ranks))
        if not len(rows):
            continue
        levels = np.eye(n_levels)[np.rint(2 * ranks[rows] - 2).astype(np.intp)]
        shares = _mean(
            (rankings.cultures[rankings.rater[i]], row) for i, row in zip(rows, levels, strict=True)
        )
        rated = [j for j in judgements if system in j.ratings]
        ranked = [j for j in judgements if j.ranks is not None and system in j.ranks]
        yield SystemResult(
            system=system,
            mean_rank=float(shares @ (1 + np.arange(len(shares)) / 2)),
            rank_shares=tuple(shares.tolist()),
            worth=finite(worth.worth[k], worth.worth_low[k], worth.worth_high[k]),
            first=_share(resamples, worth.first[k], worth.first_low[k], worth.first_high[k]),
            best=float(worth.best[k]) if np.isfinite(worth.best[k]) else None,
            wins=None
            if system == against or not np.isfinite(win.value[k])
            else _share(resamples, win.value[k], win.low[k], win.high[k]),
            rating=float(_mean((j.culture, j.ratings[system]) for j in rated)) if rated else None,
            offence_rate=float(_mean((j.culture, system in j.offended) for j in ranked)),
        )


def _mean(values: Iterable[tuple[str, Array | float]]) -> Array:
    """The mean over cultures of their means, of (culture, value)."""
    by_culture: dict[str, list[Array | float]] = {}
    for culture, value in values:
        by_culture.setdefault(culture, []).append(value)
    means = [np.mean(np.array(group, dtype=np.float64), axis=0) for group in by_culture.values()]
    return np.asarray(np.mean(means, axis=0))


def _share(resamples: Resamples, value: float, low: float, high: float) -> IntervalEstimate:
    return finite(value, low, high) if resamples.dof else finite(value)


def _tests(survey: Survey, judgements: Sequence[Judgement]) -> Iterator[PairwiseTest]:
    """The family: all systems under all questions against the reference, without the primary comparison."""
    against = reference(survey)
    primary = (survey.primary.question, survey.primary.system, survey.primary.against)
    family = {
        (question.name, system): _test(survey, question.name, system, against, judgements)
        for question in survey.questions
        for system in survey.systems
        if system != against and (question.name, system, against) != primary
    }
    p_holm = holm({key: test.p for key, test in family.items() if test.p is not None})
    for key, test in family.items():
        yield replace(test, p_holm=p_holm.get(key))


def _test(
    survey: Survey, question: str, system: str, against: str, judgements: Sequence[Judgement]
) -> PairwiseTest:
    rankings = select_rankings(judgements, (system, against), question)
    if not rankings.raters:
        return PairwiseTest(question, system, against, 0, None, None, None)
    rng = _rng(survey, "test", question, system, against)
    tally = win_rates.count_wins(rankings, against)
    p = float(sign_flip.sign_flip(tally, rankings.strata, rng)[0])
    resamples = resample(rankings.strata, rng)
    win = win_rates.estimate_rate(tally, rankings.strata, resamples)
    wins = _share(resamples, win.value[0], win.low[0], win.high[0])
    n_raters = len(rankings.raters)
    return PairwiseTest(question, system, against, n_raters, wins, p if np.isfinite(p) else None, None)


def _skills(survey: Survey, judgements: Sequence[Judgement]) -> Iterator[RaterSkill]:
    """Over all questions, per culture, as raters of different cultures share no page; three raters are the minimum."""
    rankings = select_rankings(judgements, survey.systems)
    for culture in survey.quotas:
        panel = rankings.for_culture(culture)
        if len(panel.raters) < max(survey.small, 3):
            continue
        accuracy = mmsr.fit(mmsr.task_labels(panel)).accuracy
        low, high = mmsr.accuracy_interval(panel, _rng(survey, "skills", culture))
        for i, rater in enumerate(panel.raters):
            yield RaterSkill(rater, culture, finite(accuracy[i], low[i], high[i]))


def _votes(survey: Survey, judgements: Sequence[Judgement]) -> Iterator[WeightedVote]:
    """Means over cultures with three or more raters; without a system that is in no decided pair."""
    for question in survey.questions:
        rankings = select_rankings(judgements, survey.systems, question.name)
        panels = [rankings.for_culture(culture) for culture in dict.fromkeys(rankings.cultures)]
        shares = [
            mmsr.majority_shares(panel, mmsr.fit(mmsr.task_labels(panel)).vote)
            for panel in panels
            if len(panel.raters) > 2
        ]
        for system in rankings.systems:
            if values := [by_system[system] for by_system in shares if system in by_system]:
                yield WeightedVote(question.name, system, float(np.mean(values)))


def _metric_agreement(
    survey: Survey,
    judgements: Sequence[Judgement],
    tables: Sequence[Table],
    study: Study,
    pages: Sequence[Page],
) -> Iterator[MetricAgreement]:
    for question in survey.questions:
        worths: Mapping[str, Mapping[str, float]] = {
            table.culture: {result.system: result.worth.value for result in table.results}
            for table in tables
            if table.question == question.name and table.culture != POOLED and table.results
        }
        rankings = select_rankings(judgements, survey.systems, question.name)
        rng = _rng(survey, "metrics", question.name)
        yield from metric_agreement.metric_agreement(question.name, rankings, worths, study, pages, rng)
