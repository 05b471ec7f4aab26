"""The metrics by name: what each takes from the evidence. One that has nothing to go by is None, not zero."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from scoft_hpc.evaluation.evidence import Evidence
from scoft_hpc.evaluation.metrics.bias_left import distance_from_base, mmd_from_base
from scoft_hpc.evaluation.metrics.clip_score import clip_score
from scoft_hpc.evaluation.metrics.cmmd import cmmd
from scoft_hpc.evaluation.metrics.diversity import pairwise_distance, vendi_score
from scoft_hpc.evaluation.metrics.fid import fid
from scoft_hpc.evaluation.metrics.kid import kid
from scoft_hpc.evaluation.metrics.measure import Measure
from scoft_hpc.evaluation.metrics.memorization import copies, nearer_to_train
from scoft_hpc.evaluation.metrics.truth import truth

FEWEST = 2
"""Images of a set that a distance of sets needs."""


class Unit(Enum):
    """What a metric has a value of, of which the run's is the mean; `set`: of all samples together only."""

    sample = "samples"
    prompt = "prompts"
    neutral = "neutral"
    set = "set"


@dataclass(frozen=True)
class Metric:
    """How a metric is taken, and what its values in between belong to."""

    unit: Unit
    take: Callable[[Evidence], Measure | None]


def _true(name: str) -> Metric:
    def take(of: Evidence) -> Measure | None:
        if not of.toy:
            return None
        return truth(of.judges.scorer, of.own.images, of.subject.config.culture, of.own.subjects)[name]

    return Metric(Unit.sample, take)


def _clip_score(of: Evidence) -> Measure:
    return clip_score(of.own.clip, of.own.clip_texts)


def _kid(of: Evidence) -> Measure | None:
    return kid(of.own.features, of.features_of(of.held_out)) if _enough(of) else None


def _fid(of: Evidence) -> Measure | None:
    return fid(of.own.features, of.features_of(of.held_out)) if _enough(of) else None


def _cmmd(of: Evidence) -> Measure | None:
    return cmmd(of.own.clip, of.clip_of(of.held_out)) if _enough(of) else None


def _base_distance(of: Evidence) -> Measure | None:
    return None if of.own.base is None else distance_from_base(of.own.features, of.own.base)


def _memorization(of: Evidence) -> Measure | None:
    if not of.held_out:
        return None
    return nearer_to_train(of.own.features, of.features_of(of.trained), of.features_of(of.held_out))


def _copies(of: Evidence) -> Measure | None:
    if not of.held_out:
        return None
    return copies(of.own.features, of.features_of(of.trained), of.features_of(of.held_out)).share


def _diversity(of: Evidence) -> Measure | None:
    return pairwise_distance(of.own.by_prompt(of.own.features)) if of.own.shape[1] > 1 else None


def _vendi(of: Evidence) -> Measure:
    return vendi_score(of.own.by_prompt(of.own.features))


def _neutral_kid(of: Evidence) -> Measure | None:
    neutral = of.neutral
    if neutral is None or neutral.base is None or len(neutral.base) < FEWEST:
        return None
    return mmd_from_base(neutral.features, neutral.base)


def _neutral_clip_score(of: Evidence) -> Measure | None:
    return None if of.neutral is None else clip_score(of.neutral.clip, of.neutral.clip_texts)


def _enough(of: Evidence) -> bool:
    return min(len(of.held_out), len(of.own.samples)) >= FEWEST


METRICS: dict[str, Metric] = {
    "default_style": _true("default_style"),
    "in_style": _true("in_style"),
    "subject": _true("subject"),
    "clip_score": Metric(Unit.sample, _clip_score),
    "kid": Metric(Unit.set, _kid),
    "cmmd": Metric(Unit.set, _cmmd),
    "base_distance": Metric(Unit.sample, _base_distance),
    "memorization": Metric(Unit.sample, _memorization),
    "copies": Metric(Unit.sample, _copies),
    "diversity": Metric(Unit.prompt, _diversity),
    "vendi": Metric(Unit.prompt, _vendi),
    "neutral_kid": Metric(Unit.set, _neutral_kid),
    "neutral_clip_score": Metric(Unit.neutral, _neutral_clip_score),
    "fid": Metric(Unit.set, _fid),
}
