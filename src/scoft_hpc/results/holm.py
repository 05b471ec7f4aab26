"""Holm's correction of p-values for multiple comparisons."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def holm(ps: Mapping[Key, float]) -> dict[Key, float]:
    """p-values corrected for the number of hypotheses in the family (Holm, Scand. J. Statist. 6, 1979).

    Rejecting where the result is at most α keeps the probability of any false rejection at most α, however the
    hypotheses depend on each other.
    """
    corrected: dict[Key, float] = {}
    largest = 0.0
    for rank, (key, p) in enumerate(sorted(ps.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, p * (len(ps) - rank)))
        corrected[key] = largest
    return {key: corrected[key] for key in ps}
