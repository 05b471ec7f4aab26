"""What every metric returns, and what it asks of the features that it is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scoft_hpc.errors import RunError


@dataclass(frozen=True)
class Measure:
    """A metric's value with what it takes to read it.

    Attributes:
        value: the number.
        n: generated images that it is taken over.
        references: images that they are held against, where there are any.
        error: standard error of the value from these images alone; None where only a study's seeds can tell.
        warning: why the value should not be trusted as it stands, for people; None where nothing speaks against it.
        each: what the value is the mean of, one number an image or a prompt in the order given; None where the value
            belongs to the set as a whole.
    """

    value: float
    n: int
    references: int | None = None
    error: float | None = None
    warning: str | None = None
    each: Tensor | None = field(default=None, compare=False, repr=False)

    def record(self) -> dict[str, Any]:
        """All that is known but `each`, ready for JSON."""
        names = ("value", "n", "references", "error", "warning")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def mean_of(each: Tensor, *, n: int, references: int | None = None, warning: str | None = None) -> Measure:
    """The mean of `each` [...], as a measure over n images."""
    return Measure(float(each.mean()), n, references, warning=warning, each=each)


def as_features(
    metric: str, *, least: int = 1, same_size: bool = False, **sets: Tensor
) -> tuple[Tensor, ...]:
    """The named sets of features [N, D] in fp64 and without gradient, in the order given.

    Metrics are differences of nearly equal sums, and images few: fp64 costs nothing and loses nothing.

    Raises:
        RunError: a set is not [N, D], has fewer than `least` images or a number that is not finite, or the sets differ
            in D, or in N where they must be of the `same_size`; all of it at once.
    """
    faults = [fault for name, x in sets.items() if (fault := _fault(metric, name, x, least))]
    widths = {name: x.shape[-1] for name, x in sets.items() if x.dim() > 0}
    if len(set(widths.values())) > 1:
        found = ", ".join(f"{name} {width}" for name, width in widths.items())
        faults.append(f"{metric}: features differ in length ({found}). Take all of them from one network.")
    sizes = {name: len(x) for name, x in sets.items() if x.dim() > 0}
    if same_size and len(set(sizes.values())) > 1:
        found = ", ".join(f"{name} {size}" for name, size in sizes.items())
        faults.append(f"{metric}: row i must belong to row i, but the sets differ in size ({found}).")
    if faults:
        raise RunError.of(faults)
    return tuple(x.detach().double() for x in sets.values())


def as_directions(
    metric: str, *, least: int = 1, same_size: bool = False, **sets: Tensor
) -> tuple[Tensor, ...]:
    """As `as_features`, each row at length 1, so that a product of rows is their cosine.

    Raises:
        RunError: as `as_features`, or a row has length 0.
    """
    features = as_features(metric, least=least, same_size=same_size, **sets)
    faults = [
        f"{metric}: the features of image {int(zero[0])} of {name} are all 0, which has no direction. "
        "Look at that image and at the network's weights."
        for name, x in zip(sets, features, strict=True)
        if len(zero := (x.norm(dim=1) == 0).nonzero())
    ]
    if faults:
        raise RunError.of(faults)
    return tuple(torch.nn.functional.normalize(x, dim=1) for x in features)


def _fault(metric: str, name: str, x: Tensor, least: int) -> str | None:
    if x.dim() != 2:
        return f"{metric}: {name} has shape {list(x.shape)}; expected [images, features]."
    if len(x) < least:
        return (
            f"{metric}: {name} has {len(x)} images; at least {least} are needed. "
            "Generate or hold out more, or leave this metric out."
        )
    bad = (~x.isfinite().all(1)).nonzero()
    if len(bad):
        return (
            f"{metric}: {len(bad)} of {len(x)} rows of {name} are not finite, the first of image {int(bad[0])}. "
            "Look at that image, and take features in fp32."
        )
    return None
