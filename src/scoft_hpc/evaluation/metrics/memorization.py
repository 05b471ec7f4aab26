"""Memorization: are samples nearer to training images than images of the same culture that were held out?

Both metrics look at the cosine of features to the nearest image, from a network made for copies (SSCD) or for instances
(DINO); a network of subjects or styles would call a good likeness a copy. They see whole images: a copied part in a new
image escapes them.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

import torch
from torch import Tensor

from scoft_hpc.evaluation.metrics.metric_value import MetricValue, mean_of, unit_features
from scoft_hpc.evaluation.scoring_inputs import ScoringInputs


class Copies(NamedTuple):
    """The share of samples that count as copies, and the cosine above which they do."""

    share: MetricValue
    threshold: float


def compute_memorization(inputs: ScoringInputs) -> MetricValue | None:
    """`nearer_to_train` of the samples; None without held-out images."""
    if not inputs.held_out:
        return None
    trained, held_out = inputs.features_of(inputs.trained), inputs.features_of(inputs.held_out)
    return nearer_to_train(inputs.culture_samples.features, trained, held_out)


def compute_copies(inputs: ScoringInputs) -> MetricValue | None:
    """The share of `copies` among the samples; None without held-out images."""
    if not inputs.held_out:
        return None
    trained, held_out = inputs.features_of(inputs.trained), inputs.features_of(inputs.held_out)
    return copies(inputs.culture_samples.features, trained, held_out).share


def nearer_to_train(samples: Tensor, train: Tensor, held_out: Tensor) -> MetricValue:
    """The share of samples nearer to a training image than to any held-out one, as it were with sets of one size.

    0.5 is chance, 1 is the strongest sign of memorization. Of unequal sets the larger has the nearest image more often,
    T/(T+H) of the time by chance, so the share is the expected one over all ways to draw from the larger set as many
    images as the smaller has. With p of T training images nearer than the nearest held-out one, a sample counts

        1 - C(T - p, H) / C(T, H)     for T ≥ H,

    and likewise for T < H. A tie counts for the held-out image. It says that training images attract samples, not that
    any is a copy; and chance is 0.5 only where the split was drawn at random.

    Args:
        samples: features [N, D].
        train: of all images trained on, [T, D].
        held_out: of images of the same source that were not, [H, D].

    Returns:
        references = T + H, and each [N].

    Raises:
        RunError: an empty set, or features that cannot be compared.

    Source: the share nearer to training than to holdout is that of Platzer and Reutterer 2021, Holdout-Based Empirical
    Assessment of Mixed-Type Synthetic Data; equal sizes in expectation are ours.
    """
    x, trained, held = unit_features("memorization", samples=samples, train=train, held_out=held_out)
    to_train, to_held = x @ trained.T, x @ held.T
    if len(trained) >= len(held):
        nearer = (to_train > to_held.amax(1, keepdim=True)).sum(1)
        per_item = 1 - _none_drawn(nearer, len(trained), len(held))
    else:
        nearer = (to_held >= to_train.amax(1, keepdim=True)).sum(1)
        per_item = _none_drawn(nearer, len(held), len(trained))
    return mean_of(per_item, n=len(x), references=len(trained) + len(held))


def copies(samples: Tensor, train: Tensor, held_out: Tensor, *, quantile: float = 0.95) -> Copies:
    """The share of samples nearer to a training image than all but a few held-out images are.

    A held-out image is no copy, however near; so the threshold is the ⌈(H + 1) q⌉-th smallest of the held-out images'
    cosines to their nearest training image. An image of the culture that was not trained on lies above it with a
    probability of at most 1 - q, which is what to hold the share against. With H < q/(1 - q) there is no such image;
    the largest cosine is taken, chance is 1/(H + 1), and the measure warns.

    Args:
        samples: features [N, D].
        train: of all images trained on, [T, D].
        held_out: of images of the same source that were not, [H, D].
        quantile: q in (0, 1).

    Returns:
        The share, its references = H and each [N] 0 or 1, and the threshold.

    Raises:
        RunError: an empty set, or features that cannot be compared.

    Source: Somepalli et al. 2023, Diffusion Art or Digital Forgery?, for the share over a threshold, a fixed one there;
    Vovk et al. 2005, Algorithmic Learning in a Random World, for this threshold, that of split conformal prediction.
    """
    x, trained, held = unit_features("memorization", samples=samples, train=train, held_out=held_out)
    rank = ceil((len(held) + 1) * quantile)
    threshold = (held @ trained.T).amax(1).sort().values[min(rank, len(held)) - 1]
    warning = None
    if rank > len(held):
        warning = (
            f"{len(held)} held-out images have no {quantile:g} quantile: chance is {1 / (len(held) + 1):.2g}, not "
            f"{1 - quantile:.2g}. Hold out at least {ceil(quantile / (1 - quantile))}."
        )
    per_item = ((x @ trained.T).amax(1) > threshold).double()
    return Copies(mean_of(per_item, n=len(x), references=len(held), warning=warning), float(threshold))


def _none_drawn(marked: Tensor, total: int, drawn: int) -> Tensor:
    """C(total - marked, drawn) / C(total, drawn): the chance that none of the marked [N] is drawn, [N]."""
    unmarked = (total - marked).double()
    enough = unmarked >= drawn
    unmarked = unmarked.clamp_min(drawn)
    whole = torch.full_like(unmarked, total)
    log = (unmarked + 1).lgamma() - (whole + 1).lgamma()
    log = log + (whole - drawn + 1).lgamma() - (unmarked - drawn + 1).lgamma()
    return torch.where(enough, log.exp(), 0.0)
