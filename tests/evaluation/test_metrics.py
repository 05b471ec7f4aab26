"""Metrics of sets against sets, held to closed forms, slow rewritings and simulations with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.draws import DRAWS, normal, right_on_average, unit
from scoft_hpc.evaluation.metrics.cmmd import cmmd
from scoft_hpc.evaluation.metrics.fid import fid
from scoft_hpc.evaluation.metrics.kid import block_estimates, cubic, kid
from scoft_hpc.evaluation.metrics.mmd import biased_mmd2, paired_mmd2, unbiased_mmd2


def slow_mmd2(kernel, x: np.ndarray, y: np.ndarray, *, biased: bool = False) -> float:
    """Double loops over all pairs."""
    within = [
        np.mean([kernel(a, b) for i, a in enumerate(z) for j, b in enumerate(z) if biased or i != j])
        for z in (x, y)
    ]
    return float(sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y]))


def wide(x: Tensor, y: Tensor) -> Tensor:
    """A Gaussian kernel as wide as standard normal features are."""
    return torch.exp(-torch.cdist(x, y).square() / 2)


# The squared maximum mean discrepancy


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_unbiased_mmd_meets_the_closed_form_of_shifted_gaussians_from_five_images(shift: float) -> None:
    """E k of two normals of d dimensions, `apart` apart, is 3^(-d/2) exp(-apart²/6) under the kernel `wide`."""
    x, y = normal(DRAWS, 5, 2, seed=1), normal(DRAWS, 6, 2, seed=2, mean=shift)
    truth = 2 * (1 - np.exp(-2 * shift**2 / 6)) / 3
    estimates = torch.tensor([unbiased_mmd2(wide, a, b) for a, b in zip(x, y, strict=True)])
    right_on_average(estimates, truth)
    biased = torch.tensor([biased_mmd2(wide, a, b) for a, b in zip(x, y, strict=True)])
    right_on_average(biased, truth + (1 - 1 / 3) / 5 + (1 - 1 / 3) / 6)


def test_paired_mmd_is_unbiased_where_pairs_share_something_and_the_other_one_is_not() -> None:
    shared = normal(DRAWS, 5, 2, seed=1)
    x, y = shared + normal(DRAWS, 5, 2, seed=2), shared + normal(DRAWS, 5, 2, seed=3)
    right_on_average(torch.tensor([paired_mmd2(wide, a, b) for a, b in zip(x, y, strict=True)]), 0)
    careless = torch.tensor([unbiased_mmd2(wide, a, b) for a, b in zip(x, y, strict=True)])
    assert careless.mean() < -8 * careless.std() / DRAWS**0.5


def test_mmd_of_more_rows_than_are_held_at_once_is_that_of_the_whole_matrix() -> None:
    x, y = normal(1500, 2, seed=1), normal(1100, 2, seed=2, mean=0.5)
    off = ~torch.eye(1500, dtype=torch.bool)
    k_xx, k_yy, k_xy = wide(x, x), wide(y, y), wide(x, y)
    expected = k_xx[off].mean() + k_yy[off[:1100, :1100]].mean() - 2 * k_xy.mean()
    assert unbiased_mmd2(wide, x, y) == pytest.approx(float(expected), abs=1e-12)
    k_xz = wide(x[:1100], y)
    paired = wide(x[:1100], x[:1100]) + k_yy - 2 * k_xz
    assert paired_mmd2(wide, x[:1100], y) == pytest.approx(float(paired[off[:1100, :1100]].mean()), abs=1e-12)
    assert biased_mmd2(wide, x, x) == pytest.approx(0, abs=1e-12)


# KID


def test_kid_is_the_double_loop_over_images() -> None:
    x, y = normal(9, 4, seed=1), normal(7, 4, seed=2, mean=0.5)
    expected = slow_mmd2(lambda a, b: (a @ b / 4 + 1) ** 3, x.numpy(), y.numpy())
    estimate = kid(x, y)
    assert estimate.value == pytest.approx(expected, abs=1e-12)
    assert (estimate.n, estimate.references) == (9, 7)


def test_kid_meets_the_closed_form_of_two_normals() -> None:
    """The cubic kernel in one dimension compares moments: MMD² = Δm₃² + 3 Δm₂² + 3 Δm₁²."""
    x, y = normal(DRAWS, 8, 1, seed=1), normal(DRAWS, 8, 1, seed=2, mean=0.5)
    estimates = torch.tensor([kid(a, b, blocks=1).value for a, b in zip(x, y, strict=True)])
    right_on_average(estimates, (0.5**3 + 3 * 0.5) ** 2 + 3 * 0.25**2 + 3 * 0.5**2)


def test_kid_of_one_distribution_is_0_on_average_and_goes_below() -> None:
    x, y = normal(DRAWS, 6, 3, seed=3), normal(DRAWS, 8, 3, seed=4)
    estimates = torch.tensor([kid(a, b, blocks=1).value for a, b in zip(x, y, strict=True)])
    right_on_average(estimates, 0)
    assert (estimates < 0).double().mean() > 0.3


def test_kid_does_not_depend_on_the_order_of_images() -> None:
    x, y = normal(20, 4, seed=1), normal(12, 4, seed=2)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(5))
    assert kid(x[order], y).value == pytest.approx(kid(x, y).value, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_the_error_of_kid_covers_its_spread_over_repeated_draws(shift: float) -> None:
    estimates = [
        kid(normal(60, 3, seed=2 * i), normal(60, 3, seed=2 * i + 1, mean=shift)) for i in range(200)
    ]
    spread = float(torch.tensor([m.value for m in estimates]).std())
    claimed = float(torch.tensor([m.error for m in estimates]).square().mean().sqrt())
    assert 0.9 * spread < claimed < 4 * spread


def test_blocks_hold_each_image_once_and_two_of_both_sets() -> None:
    x, y = normal(40, 3, seed=1), normal(7, 3, seed=2)
    assert len(block_estimates(x, y, 10)) == 3
    for i in range(40):
        marked = x.clone()
        marked[i] = float("nan")
        assert block_estimates(marked, y, 3).isnan().sum() == 1
    assert block_estimates(x, y, 1).tolist() == pytest.approx([unbiased_mmd2(cubic, x, y)], abs=1e-12)
    assert kid(x[:3], y).error is None


# CMMD


@pytest.mark.parametrize("biased", [False, True])
def test_cmmd_is_the_double_loop_over_unit_embeddings(biased: bool) -> None:
    x, y = normal(9, 6, seed=1, mean=0.3), normal(7, 6, seed=2)
    expected = 1000 * slow_mmd2(
        lambda a, b: np.exp(-np.sum((a - b) ** 2) / 200), unit(x.numpy()), unit(y.numpy()), biased=biased
    )
    assert cmmd(3 * x, y, biased=biased).value == pytest.approx(expected, abs=1e-9)


def test_cmmd_of_a_set_with_itself_is_0_only_if_biased_and_unbiased_it_is_0_on_average() -> None:
    x = normal(DRAWS, 10, 4)
    assert cmmd(x[0], x[0], biased=True).value == pytest.approx(0, abs=1e-9)
    right_on_average(torch.tensor([cmmd(a[:4], a[4:]).value for a in x]), 0)


def test_cmmd_is_ten_times_the_squared_distance_of_the_means() -> None:
    x, y = normal(50, 8, seed=1, mean=0.5), normal(40, 8, seed=2)
    means = [torch.nn.functional.normalize(z, dim=1).mean(0) for z in (x, y)]
    expected = 10 * float((means[0] - means[1]).square().sum())
    assert cmmd(x, y, biased=True).value == pytest.approx(expected, rel=0.02)


def test_the_bias_of_the_published_cmmd_is_what_its_docstring_says() -> None:
    x, y = normal(50, 8, seed=1, mean=0.5), normal(40, 8, seed=2, mean=0.5)
    means = [torch.nn.functional.normalize(z, dim=1).mean(0).square().sum() for z in (x, y)]
    bias = 10 * float((1 - means[0]) / 50 + (1 - means[1]) / 40)
    assert cmmd(x, y, biased=True).value - cmmd(x, y).value == pytest.approx(bias, rel=0.05)


# FID


def exactly(mean: Tensor, covariance: Tensor, n: int, seed: int) -> Tensor:
    """Features whose sample mean and covariance are these."""
    x = normal(n, len(mean), seed=seed)
    x = x - x.mean(0)
    white = x @ torch.linalg.inv(torch.linalg.cholesky(x.T @ x / (n - 1))).T
    return white @ torch.linalg.cholesky(covariance).T + mean


def test_fid_meets_the_closed_form_of_gaussians() -> None:
    a, b = torch.tensor([1.0, 2.0, 3.0]).double(), torch.tensor([2.0, 0.5, 3.0]).double()
    x = exactly(torch.zeros(3).double(), a.square().diag(), 50, seed=1)
    y = exactly(torch.ones(3).double(), b.square().diag(), 40, seed=2)
    assert fid(x, y).value == pytest.approx(float((a - b).square().sum()) + 3, abs=1e-9)
    assert fid(x, x).value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("n", [60, 4])
def test_fid_is_that_of_the_eigenvalues_of_the_product_of_covariances(n: int) -> None:
    """Also with fewer images than features, where both covariances are singular."""
    mixed = normal(6, 6, seed=9)
    x, y = normal(n, 6, seed=1) @ mixed, normal(n + 1, 6, seed=2, mean=0.3)
    s, t = np.cov(x.numpy(), rowvar=False), np.cov(y.numpy(), rowvar=False)
    root = np.sqrt(np.linalg.eigvals(s @ t).astype(complex)).real.sum()
    expected = np.sum((x.numpy().mean(0) - y.numpy().mean(0)) ** 2) + np.trace(s) + np.trace(t) - 2 * root
    assert fid(x, y).value == pytest.approx(expected, abs=1e-5)


def test_fid_warns_of_fewer_images_than_2048() -> None:
    x, y = normal(2048, 2, seed=1), normal(2048, 2, seed=2)
    assert fid(x, y).warning is None
    for estimate in (fid(x[:2047], y), fid(x, y[:2047])):
        assert estimate.warning is not None
        assert "2047 images" in estimate.warning
