"""Who is left out, by the survey file's rules, fixed before the first answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scoft_hpc.human_eval.analysis.consistency import consistency
from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.results.survey_labels import EXCLUSION_RULES


@dataclass(frozen=True)
class ExclusionResult:
    """`included` raters; `reasons`: rule -> raters who break it, of whom one may break several."""

    included: frozenset[int]
    reasons: Mapping[str, frozenset[int]]

    @property
    def excluded(self) -> frozenset[int]:
        return frozenset().union(*self.reasons.values())


def exclude(
    survey: Survey,
    participants: Sequence[Participant],
    judgements: Sequence[Judgement],
    drawn: Mapping[str, int] | None = None,
) -> ExclusionResult:
    """Apply the rules. A rater without an attention page answered twice is not judged by consistency,
    nor one whose times are not known by seconds. `drawn`: how many pages each culture has, where that is known.
    """
    rules = survey.exclusion
    of: dict[int, list[Judgement]] = {one.rater: [] for one in participants}
    for judgement in judgements:
        if judgement.rater in of:
            of[judgement.rater].append(judgement)
    tau = consistency(judgements, survey.systems)
    broken: dict[str, set[int]] = {rule: set() for rule in EXCLUSION_RULES}
    for one in participants:
        given = of[one.rater]
        if not given:
            broken["silent"].add(one.rater)
        if rules.affiliations and one.affiliation not in rules.affiliations:
            broken["affiliation"].add(one.rater)
        if given and _answered(survey, given, (drawn or {}).get(one.culture)) < rules.answered:
            broken["answered"].add(one.rater)
        known = [j.seconds for j in given if j.seconds > 0]
        if known and float(np.median(known)) < rules.seconds:
            broken["seconds"].add(one.rater)
        if tau.get(one.rater, 1.0) < rules.consistency:
            broken["consistency"].add(one.rater)
    reasons = {rule: frozenset(raters) for rule, raters in broken.items()}
    found = ExclusionResult(frozenset(), reasons)
    return ExclusionResult(frozenset(of) - found.excluded, reasons)


def _answered(survey: Survey, given: Sequence[Judgement], drawn: int | None) -> float:
    """The share of asked pages × questions with an answer, "cannot judge" being one."""
    asked = {(j.page, j.question) for j in given if j.kind is Kind.asked}
    pages = survey.pages if drawn is None else min(survey.pages, drawn)
    return len(asked) / (pages * len(survey.questions))
