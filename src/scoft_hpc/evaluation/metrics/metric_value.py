"""A metric's value, and the checks of the features from which it is computed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scoft_hpc.errors import RunError


@dataclass(frozen=True)
class MetricValue:
    """A metric's value with what is needed to interpret it.

    Attributes:
        value: the number.
        n: how many generated images it is computed from.
        references: how many images they are compared with; None where there are none.
        error: standard error of the value over these images alone; None where only a study's seeds can tell.
        warning: why the value is not reliable, for readers of a report; None where nothing is known against it.
        per_item: one number per image or per prompt, in the order given, whose mean is the value; None where only the
            whole set has a value.
    """

    value: float
    n: int
    references: int | None = None
    error: float | None = None
    warning: str | None = None
    per_item: Tensor | None = field(default=None, compare=False, repr=False)

    def record(self) -> dict[str, Any]:
        """Every field but `per_item` that is set, for JSON."""
        names = ("value", "n", "references", "error", "warning")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


def mean_of(
    per_item: Tensor, *, n: int, references: int | None = None, warning: str | None = None
) -> MetricValue:
    """The mean of `per_item` [...], as the value of n images."""
    return MetricValue(float(per_item.mean()), n, references, warning=warning, per_item=per_item)


def as_features(
    metric: str, *, min_images: int = 1, same_size: bool = False, **sets: Tensor
) -> tuple[Tensor, ...]:
    """The named sets of features [N, D] in fp64 and without gradient, in the order given.

    Metrics are differences of nearly equal sums, and images few: fp64 costs nothing and loses nothing.

    Raises:
        RunError: a set is not [N, D], has fewer than `min_images` images or a number that is not finite, or the sets
            differ in D, or in N where they must be of the `same_size`; one error lists every fault.
    """
    faults = [fault for name, x in sets.items() if (fault := _fault(metric, name, x, min_images))]
    widths = {name: x.shape[-1] for name, x in sets.items() if x.dim() > 0}
    if len(set(widths.values())) > 1:
        lengths = ", ".join(f"{name} {width}" for name, width in widths.items())
        faults.append(f"{metric}: features differ in length ({lengths}). Take all of them from one network.")
    sizes = {name: len(x) for name, x in sets.items() if x.dim() > 0}
    if same_size and len(set(sizes.values())) > 1:
        counts = ", ".join(f"{name} {size}" for name, size in sizes.items())
        faults.append(f"{metric}: row i must belong to row i, but the sets differ in size ({counts}).")
    if faults:
        raise RunError.from_messages(faults)
    return tuple(x.detach().double() for x in sets.values())


def unit_features(
    metric: str, *, min_images: int = 1, same_size: bool = False, **sets: Tensor
) -> tuple[Tensor, ...]:
    """`as_features` with each row at length 1, so that a product of rows is their cosine.

    Raises:
        RunError: as `as_features`, or a row has length 0.
    """
    features = as_features(metric, min_images=min_images, same_size=same_size, **sets)
    faults = [
        f"{metric}: the features of image {int(zero[0])} of {name} are all 0, which has no direction. "
        "Look at that image and at the network's weights."
        for name, x in zip(sets, features, strict=True)
        if len(zero := (x.norm(dim=1) == 0).nonzero())
    ]
    if faults:
        raise RunError.from_messages(faults)
    return tuple(torch.nn.functional.normalize(x, dim=1) for x in features)


def _fault(metric: str, name: str, x: Tensor, min_images: int) -> str | None:
    if x.dim() != 2:
        return f"{metric}: {name} has shape {list(x.shape)}; expected [images, features]."
    if len(x) < min_images:
        return (
            f"{metric}: {name} has {len(x)} images; at least {min_images} are needed. "
            "Generate or hold out more, or leave this metric out."
        )
    bad = (~x.isfinite().all(1)).nonzero()
    if len(bad):
        return (
            f"{metric}: {len(bad)} of {len(x)} rows of {name} are not finite, the first of image {int(bad[0])}. "
            "Look at that image, and take features in fp32."
        )
    return None
