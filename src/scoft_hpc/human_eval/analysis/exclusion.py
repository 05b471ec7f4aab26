"""Exclude raters by the survey file's rules, which are fixed before the first answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scoft_hpc.human_eval.analysis.agreement import consistency
from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.results.survey_text import EXCLUSION_RULES


@dataclass(frozen=True)
class ExclusionResult:
    """`included` and `excluded` raters; `reasons`: rule -> raters who break it; a rater may break several."""

    included: frozenset[int]
    excluded: frozenset[int]
    reasons: Mapping[str, frozenset[int]]


def exclude(
    survey: Survey,
    participants: Sequence[Participant],
    judgements: Sequence[Judgement],
    pages_per_culture: Mapping[str, int] | None = None,
) -> ExclusionResult:
    """Apply the rules; those of consistency and time only to raters for whom these are known.

    Args:
        pages_per_culture: the number of pages of each culture, if known: a rater can answer no more.
    """
    rules = survey.exclusion
    by_rater: dict[int, list[Judgement]] = {participant.rater: [] for participant in participants}
    for judgement in judgements:
        if judgement.rater in by_rater:
            by_rater[judgement.rater].append(judgement)
    tau = consistency(judgements, survey.systems)
    reasons: dict[str, set[int]] = {rule: set() for rule in EXCLUSION_RULES}
    for participant in participants:
        rater, answers = participant.rater, by_rater[participant.rater]
        if not answers:
            reasons["silent"].add(rater)
        if rules.affiliations and participant.affiliation not in rules.affiliations:
            reasons["affiliation"].add(rater)
        n_pages = min(survey.pages, (pages_per_culture or {}).get(participant.culture, survey.pages))
        if answers and _share_answered(answers, n_pages * len(survey.questions)) < rules.answered:
            reasons["answered"].add(rater)
        seconds = [j.seconds for j in answers if j.seconds > 0]
        if seconds and float(np.median(seconds)) < rules.seconds:
            reasons["seconds"].add(rater)
        if tau.get(rater, 1.0) < rules.consistency:
            reasons["consistency"].add(rater)
    excluded = frozenset().union(*reasons.values())
    frozen = {rule: frozenset(raters) for rule, raters in reasons.items()}
    return ExclusionResult(frozenset(by_rater) - excluded, excluded, frozen)


def _share_answered(answers: Sequence[Judgement], n_expected: int) -> float:
    """The share of regular pages × questions with an answer; "cannot judge" is an answer."""
    return len({(j.page, j.question) for j in answers if j.kind is Kind.regular}) / n_expected
