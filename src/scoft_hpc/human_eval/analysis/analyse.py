"""Analyse judgements into `SurveyResults`. Pure, and deterministic for a seed."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from scoft_hpc.human_eval.analysis import metric_agreement, mmsr, plackett_luce, sign_flip, win_rates
from scoft_hpc.human_eval.analysis.agreement import agreement, consistency
from scoft_hpc.human_eval.analysis.bootstrap import Resamples, resample
from scoft_hpc.human_eval.analysis.exclusion import ExclusionResult, exclude
from scoft_hpc.human_eval.analysis.rankings import Array, Rankings, select_rankings
from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.results.inference import holm
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
    """Everything; the metrics' part where there is a study to read them from."""
    present = {one.rater for one in participants}
    said = sorted(
        (one for one in judgements if one.rater in present),
        key=lambda j: (j.rater, j.position, j.page, j.question),
    )
    excluded = exclude(survey, participants, said, Counter(page.culture for page in pages) or None)
    kept = [one for one in said if one.rater in excluded.included]
    tables = tuple(_tables(survey, kept))
    tau = sorted(consistency(said, survey.systems).values())
    return SurveyResults(
        title=survey.title,
        questions=tuple(one.name for one in survey.questions),
        systems=survey.systems,
        against=reference(survey),
        panels=tuple(_panels(survey, participants, excluded.included)),
        primary=_primary(survey, said, excluded),
        tables=tables,
        tests=tuple(_tests(survey, kept)),
        excluded={rule: len(raters) for rule, raters in excluded.reasons.items() if raters},
        n_excluded=len(excluded.excluded),
        consistency=tuple(float(q) for q in np.quantile(tau, [0.25, 0.5, 0.75])) if tau else (),
        skills=tuple(_skills(survey, kept)),
        votes=tuple(_votes(survey, kept)),
        metric_agreement=tuple(_tracked(survey, kept, tables, study, pages)) if study else (),
        min_cell_size=survey.small,
    )


def reference(survey: Survey) -> str:
    """The system that the others are held against: the base, where it is shown."""
    return BASE if BASE in survey.systems else survey.primary.against


def _rng(survey: Survey, *purpose: str) -> np.random.Generator:
    """Random numbers of a purpose's own: what one table draws changes no other."""
    return np.random.default_rng([survey.seed, zlib.crc32("/".join(purpose).encode())])


def _panels(survey: Survey, participants: Sequence[Participant], kept: Collection[int]) -> Iterator[Panel]:
    for culture in dict.fromkeys([*survey.quotas, *(one.culture for one in participants)]):
        raters = [one.rater for one in participants if one.culture == culture]
        yield Panel(culture, survey.quotas.get(culture, 0), len(raters), sum(r in kept for r in raters))


def _tables(survey: Survey, judgements: Sequence[Judgement]) -> Iterator[Table]:
    for question in survey.questions:
        found = select_rankings(judgements, survey.systems, question.name)
        said = [j for j in judgements if j.question == question.name and j.kind is Kind.asked]
        yield _table(survey, question.name, POOLED, found, said, least=1)
        for culture in survey.quotas:
            own = [j for j in said if j.culture == culture]
            yield _table(survey, question.name, culture, found.for_culture(culture), own, least=survey.small)


def _table(
    survey: Survey, question: str, culture: str, found: Rankings, said: Sequence[Judgement], least: int
) -> Table:
    told = len(found.raters) >= max(least, 1)
    alike = agreement(found) if told else None
    return Table(
        question=question,
        culture=culture,
        raters=len(found.raters),
        rankings=len(found.ranks),
        n_cannot_judge=sum(j.ranks is None for j in said),
        agreement=None if alike is None else finite(alike.alpha, alike.low, alike.high),
        results=tuple(_system_results(survey, question, culture, found, said)) if told else (),
    )


def _system_results(
    survey: Survey, question: str, culture: str, found: Rankings, said: Sequence[Judgement]
) -> Iterator[SystemResult]:
    """Of the systems that some page showed; cultures count alike in all of it."""
    resamples = resample(found.strata, _rng(survey, "worths", question, culture))
    worth = plackett_luce.estimate_worths(found, resamples)
    against = reference(survey)
    win = win_rates.estimate_rate(win_rates.count_wins(found, against), found.strata, resamples)
    for k, system in enumerate(found.systems):
        ranks = found.ranks[:, k]
        shown = np.flatnonzero(np.isfinite(ranks))
        if not len(shown):
            continue
        levels = np.eye(2 * len(found.systems) - 1)[np.rint(2 * ranks[shown] - 2).astype(np.intp)]
        shares = _mean((found.cultures[found.rater[i]], row) for i, row in zip(shown, levels, strict=True))
        rated = [j for j in said if system in j.ratings]
        seen = [j for j in said if j.ranks is not None and system in j.ranks]
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
            offence_rate=float(_mean((j.culture, system in j.offended) for j in seen)),
        )


def _mean(values: Iterable[tuple[str, Array | float]]) -> Array:
    """Of (culture, value): the mean over cultures of their means."""
    by_culture: dict[str, list[Array | float]] = {}
    for culture, value in values:
        by_culture.setdefault(culture, []).append(value)
    means = [np.mean(np.array(some, dtype=np.float64), axis=0) for some in by_culture.values()]
    return np.asarray(np.mean(means, axis=0))


def _share(resamples: Resamples, value: float, low: float, high: float) -> IntervalEstimate:
    return finite(value, low, high) if resamples.dof else finite(value)


def _tests(survey: Survey, judgements: Sequence[Judgement]) -> Iterator[PairwiseTest]:
    """All systems under all questions against the reference, one family, the primary comparison apart."""
    against = reference(survey)
    primary = (survey.primary.question, survey.primary.system, survey.primary.against)
    family = {
        (question.name, system): _test(survey, question.name, system, against, judgements)
        for question in survey.questions
        for system in survey.systems
        if system != against and (question.name, system, against) != primary
    }
    corrected = holm({key: one.p for key, one in family.items() if one.p is not None})
    for key, one in family.items():
        yield replace(one, p_holm=corrected.get(key))


def _primary(survey: Survey, judgements: Sequence[Judgement], excluded: ExclusionResult) -> PrimaryResult:
    asked = survey.primary
    kept = [one for one in judgements if one.rater in excluded.included]
    with_rules, everybody = (
        _test(survey, asked.question, asked.system, asked.against, some) for some in (kept, judgements)
    )
    return PrimaryResult(asked.alpha, with_rules, everybody)


def _test(
    survey: Survey, question: str, system: str, against: str, judgements: Sequence[Judgement]
) -> PairwiseTest:
    found = select_rankings(judgements, (system, against), question)
    if not found.raters:
        return PairwiseTest(question, system, against, 0, None, None, None)
    rng = _rng(survey, "test", question, system, against)
    tally = win_rates.count_wins(found, against)
    p = float(sign_flip.sign_flip(tally, found.strata, rng)[0])
    resamples = resample(found.strata, rng)
    win = win_rates.estimate_rate(tally, found.strata, resamples)
    wins = _share(resamples, win.value[0], win.low[0], win.high[0])
    return PairwiseTest(
        question, system, against, len(found.raters), wins, p if np.isfinite(p) else None, None
    )


def _skills(survey: Survey, judgements: Sequence[Judgement]) -> Iterator[RaterSkill]:
    """Over all questions, culture by culture: raters of different cultures share no page. Of few raters nobody is told
    of, and two alone cannot tell who of them is good."""
    everything = select_rankings(judgements, survey.systems)
    for culture in survey.quotas:
        found = everything.for_culture(culture)
        if len(found.raters) < max(survey.small, 3):
            continue
        accuracy = mmsr.fit(mmsr.task_labels(found)).accuracy
        low, high = mmsr.accuracy_interval(found, _rng(survey, "skills", culture))
        for i, rater in enumerate(found.raters):
            yield RaterSkill(rater, culture, finite(accuracy[i], low[i], high[i]))


def _votes(survey: Survey, judgements: Sequence[Judgement]) -> Iterator[WeightedVote]:
    """From cultures of three raters or more; without a system that is in no decided pair."""
    for question in survey.questions:
        rows = select_rankings(judgements, survey.systems, question.name)
        by_culture = [
            mmsr.majority_shares(own, mmsr.fit(mmsr.task_labels(own)).vote)
            for culture in dict.fromkeys(rows.cultures)
            if len((own := rows.for_culture(culture)).raters) > 2
        ]
        for system in rows.systems:
            if won := [shares[system] for shares in by_culture if system in shares]:
                yield WeightedVote(question.name, system, float(np.mean(won)))


def _tracked(
    survey: Survey,
    judgements: Sequence[Judgement],
    tables: Sequence[Table],
    study: Study,
    pages: Sequence[Page],
) -> Iterator[MetricAgreement]:
    for question in survey.questions:
        worth: Mapping[str, Mapping[str, float]] = {
            table.culture: {one.system: one.worth.value for one in table.results}
            for table in tables
            if table.question == question.name and table.culture != POOLED and table.results
        }
        found = select_rankings(judgements, survey.systems, question.name)
        rng = _rng(survey, "metrics", question.name)
        yield from metric_agreement.metric_agreement(question.name, found, worth, study, pages, rng)
