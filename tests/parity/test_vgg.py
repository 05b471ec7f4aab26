"""The VGG term in the packed step against the slow rewriting with torchvision's VGG16 and its in-place ReLUs.

Both sides compute in fp64. VGG16 has hundreds of thousands of kinks, at its ReLUs and poolings: in fp32 the two sides'
pictures differ by 1e-6, which now and then is enough to be on two sides of one, where the gradients differ by 1e-3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from parity.lane_updates import BATCH, Case, Update, by_the_authors, by_the_pack
from reference import vgg
from scoft_hpc.config.schema import ContrastiveForm, Gradient, Variant

BOUND = 1e-5
UPDATES = 2
WEIGHT = 20.0
"""Of the VGG term: a large part of the gradient is then its own."""
MODES = [
    Case(Variant.mpc, gradient, ContrastiveForm.official, seed=seed, w_vgg=WEIGHT, vgg16=True)
    for seed, gradient in enumerate(Gradient, start=12)
]
OTHERS = [
    replace(MODES[0], form=ContrastiveForm.triplet, seed=15),
    replace(MODES[0], variant=Variant.mp, seed=16),
]


@pytest.fixture(autouse=True)
def in_fp64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tensors are fp64 by default, and so is what the package brings to fp32."""
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def norm(tensors: Mapping[str, Tensor]) -> float:
    return math.sqrt(sum(float(t.double().square().sum()) for t in tensors.values()))


def distance(a: Update, b: Update) -> float:
    """Between the LoRA gradients of all layers, relative to the second one's norm."""
    assert a.gradient.keys() == b.gradient.keys()
    return norm({name: a.gradient[name] - b.gradient[name] for name in b.gradient}) / b.norm


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "cases"), [("epsilon", [*MODES, *OTHERS]), ("v_prediction", MODES)], ids=["epsilon", "v"]
)
def test_the_vgg_term_and_its_gradient_are_the_authors(kind: str, cases: list[Case]) -> None:
    """In every gradient mode, as the lanes of one pack."""
    for case, history in zip(cases, by_the_pack(cases, kind, n_updates=UPDATES), strict=True):
        theirs = by_the_authors(case, kind, case.micros()[: UPDATES * BATCH])
        assert len(history.updates) == len(theirs.updates) == UPDATES
        for a, b in zip(history.updates, theirs.updates, strict=True):
            assert a.terms["vgg"] == pytest.approx(b.terms["vgg"], rel=BOUND)
            assert distance(a, b) <= BOUND, case.name


@pytest.mark.slow
def test_the_bound_tells_which_maps_are_compared() -> None:
    """With all maps before ReLU, as the extractor's cuts suggest, the term and the gradient are others."""
    case = MODES[0]
    micros = case.micros()[:BATCH]
    (given,) = by_the_authors(case, "epsilon", micros).updates
    before = vgg.Distance(vgg.features(), inplace=False)
    (changed,) = by_the_authors(case, "epsilon", micros, before).updates
    assert abs(changed.terms["vgg"] / given.terms["vgg"] - 1) > 1000 * BOUND
    assert distance(changed, given) > 1000 * BOUND
    (without,) = by_the_authors(replace(case, w_vgg=0.0), "epsilon", micros).updates
    assert distance(without, given) > 0.1
