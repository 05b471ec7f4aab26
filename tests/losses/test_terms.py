"""Each term against its closed form."""

from __future__ import annotations

import torch

import tiny
from scoft_hpc.config.schema import Variant
from scoft_hpc.config.terms import TERMS, Term, needs_rollout
from scoft_hpc.losses.contrastive import l_c_official, l_c_triplet, similarities
from scoft_hpc.losses.denoising import l_ldm
from scoft_hpc.losses.memorization import l_m
from scoft_hpc.losses.perceptual import l_p

PIXELS, SEEDS = tiny.PixelDistance(), torch.zeros(2, dtype=torch.long)


def test_l_ldm_is_the_mean_square_of_each_row() -> None:
    target = torch.randn(3, 4, 8, 8)
    offset = torch.tensor([0.0, 1.0, 2.0]).view(-1, 1, 1, 1)
    torch.testing.assert_close(l_ldm(target + offset, target), torch.tensor([0.0, 1.0, 4.0]))


def test_l_m_pulls_the_prediction_and_not_the_generic_one() -> None:
    pred, generic = torch.randn(2, 4, 8, 8, requires_grad=True), torch.randn(2, 4, 8, 8, requires_grad=True)
    l_m(pred, generic).sum().backward()
    assert generic.grad is None
    assert pred.grad is not None
    torch.testing.assert_close(pred.grad, 2 * (pred - generic).detach() / (4 * 8 * 8))


def test_l_p_is_the_distance_to_the_positive() -> None:
    positive = torch.zeros(2, 3, 8, 8)
    torch.testing.assert_close(l_p(PIXELS, positive + 0.5, positive, SEEDS), torch.full((2,), 0.25))


def test_l_c_official_is_a_difference_over_the_negatives_that_are_there() -> None:
    s_positive, s_negative = torch.tensor([1.0, 2.0]), torch.tensor([[3.0, 5.0], [4.0, 100.0]])
    present = torch.tensor([[True, True], [True, False]])
    torch.testing.assert_close(l_c_official(s_positive, s_negative, present), torch.tensor([-3.0, -2.0]))


def test_l_c_triplet_is_hinged_at_zero() -> None:
    s_positive, s_negative = torch.tensor([1.0, 2.0]), torch.tensor([[3.0], [1.0]])
    present = torch.ones(2, 1, dtype=torch.bool)
    loss = l_c_triplet(s_positive, s_negative, present, lam=0.5, margin=0.25)
    torch.testing.assert_close(loss, torch.tensor([0.0, 1.75]))


def test_the_triplet_without_hinge_is_the_official_form() -> None:
    s_positive, s_negative = torch.rand(5) + 9, torch.rand(5, 3)
    present = torch.ones(5, 3, dtype=torch.bool)
    triplet = l_c_triplet(s_positive, s_negative, present, lam=1.0, margin=0.0)
    torch.testing.assert_close(triplet, l_c_official(s_positive, s_negative, present))


def test_similarities_split_positive_from_negatives() -> None:
    x_hat = torch.zeros(2, 3, 4, 4)
    negatives = torch.full((2, 3, 3, 4, 4), 2.0)
    s_positive, s_negative = similarities(PIXELS, x_hat, x_hat + 1, negatives, SEEDS)
    torch.testing.assert_close(s_positive, torch.ones(2))
    torch.testing.assert_close(s_negative, torch.full((2, 3), 4.0))


def test_variants_add_one_term_each() -> None:
    assert TERMS[Variant.base] == set()
    assert TERMS[Variant.m] - TERMS[Variant.ldm] == {Term.m}
    assert TERMS[Variant.mp] - TERMS[Variant.m] == {Term.p, Term.vgg}
    assert TERMS[Variant.mpc] - TERMS[Variant.m] == {Term.c, Term.vgg}
    assert [v for v in Variant if needs_rollout(v)] == [Variant.mp, Variant.mpc]
