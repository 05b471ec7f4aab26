"""Metrics taken image by image or prompt by prompt, and what all metrics share."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest
import torch

from evaluation.draws import DRAWS, normal, right_on_average, unit
from scoft_hpc.errors import RunError
from scoft_hpc.evaluation.metrics.base_distance import distance_from_base
from scoft_hpc.evaluation.metrics.clip_score import clip_score
from scoft_hpc.evaluation.metrics.cmmd import cmmd
from scoft_hpc.evaluation.metrics.diversity import pairwise_distance, vendi_score
from scoft_hpc.evaluation.metrics.fid import fid
from scoft_hpc.evaluation.metrics.kid import kid
from scoft_hpc.evaluation.metrics.memorization import copies, nearer_to_train
from scoft_hpc.evaluation.metrics.metric_value import MetricValue
from scoft_hpc.evaluation.metrics.neutral_kid import mmd_from_base

# CLIPScore


def test_clip_score_is_the_cosine_cut_at_0_times_2_5() -> None:
    images = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    texts = torch.tensor([[5.0, 0.0], [0.0, -1.0], [1.0, 0.0]])
    score = clip_score(images, texts)
    assert score.per_item is not None
    assert score.per_item.tolist() == pytest.approx([2.5, 0.0, 1.5])
    assert (score.value, score.n) == (pytest.approx(4 / 3), 3)


# Memorization


@pytest.mark.parametrize(("trained", "held"), [(7, 3), (3, 7), (5, 5)])
def test_nearer_to_train_is_the_share_over_all_draws_of_equal_sets(trained: int, held: int) -> None:
    samples, train, held_out = normal(6, 3, seed=1), normal(trained, 3, seed=2), normal(held, 3, seed=3)
    x, t, h = (unit(z.numpy()) for z in (samples, train, held_out))
    size = min(trained, held)
    draws = [(a, b) for a in combinations(range(trained), size) for b in combinations(range(held), size)]
    expected = [np.mean([max(s @ t[i] for i in a) > max(s @ h[j] for j in b) for a, b in draws]) for s in x]
    result = nearer_to_train(samples, train, held_out)
    assert result.per_item is not None
    assert result.per_item.tolist() == pytest.approx(expected, abs=1e-12)
    assert result.value == pytest.approx(np.mean(expected))
    assert (result.n, result.references) == (6, trained + held)


@pytest.mark.parametrize(("trained", "held"), [(30, 6), (6, 30), (12, 12)])
def test_a_half_is_chance_whatever_the_sizes(trained: int, held: int) -> None:
    shares = [
        nearer_to_train(
            normal(4, 5, seed=3 * i), normal(trained, 5, seed=3 * i + 1), normal(held, 5, seed=3 * i + 2)
        )
        for i in range(DRAWS)
    ]
    right_on_average(torch.tensor([share.value for share in shares]), 0.5)


def test_samples_that_are_held_out_images_score_0_and_lone_copies_as_their_odds() -> None:
    train, held_out = normal(20, 8, seed=1), normal(5, 8, seed=2)
    assert nearer_to_train(held_out, train, held_out).value == 0
    assert nearer_to_train(train[:5], train[:5], held_out).value == 1
    alone = torch.eye(8, dtype=torch.float64)
    result = nearer_to_train(alone[:1], torch.cat([alone[:1], -alone[:1].expand(19, 8)]), alone[1:6])
    assert result.value == pytest.approx(5 / 20)  # the one image is among 5 drawn of 20


def test_copies_are_found_and_new_images_are_not_called_copies() -> None:
    train, held_out = normal(50, 16, seed=1), normal(40, 16, seed=2)
    new = normal(20, 16, seed=3)
    copied = train[:10] + 0.01 * normal(10, 16, seed=4)
    result = copies(torch.cat([new, copied]), train, held_out)
    assert result.share.per_item is not None
    assert result.share.per_item[20:].tolist() == [1.0] * 10
    assert result.share.per_item[:20].mean() < 0.25
    cosines = np.sort((unit(held_out.numpy()) @ unit(train.numpy()).T).max(1))
    assert result.threshold == pytest.approx(cosines[38])  # the 39th of 40: (40 + 1) 0.95 rounded up
    assert result.share.warning is None


def test_no_more_new_images_than_promised_lie_above_the_threshold() -> None:
    """With 19 held-out images the promise at 0.9 is met exactly: the 18th of 20 exchangeable ranks leaves 2 above."""
    shares = [
        copies(
            normal(4, 4, seed=3 * i),
            normal(9, 4, seed=3 * i + 1),
            normal(19, 4, seed=3 * i + 2),
            quantile=0.9,
        )
        for i in range(DRAWS)
    ]
    right_on_average(torch.tensor([result.share.value for result in shares]), 2 / 20)


def test_too_few_held_out_images_for_a_quantile_are_told() -> None:
    result = copies(normal(4, 4, seed=1), normal(9, 4, seed=2), normal(10, 4, seed=3))
    assert result.share.warning is not None
    assert "Hold out at least 19" in result.share.warning
    enough = copies(normal(4, 4, seed=1), normal(9, 4, seed=2), normal(19, 4, seed=3))
    assert enough.share.warning is None


# Diversity


def test_pairwise_distance_is_the_double_loop_within_prompts() -> None:
    samples = normal(3, 4, 5)
    x = unit(samples.numpy())
    expected = [np.mean([1 - a @ b for a, b in combinations(group, 2)]) for group in x]
    result = pairwise_distance(samples)
    assert result.per_item is not None
    assert result.per_item.tolist() == pytest.approx(expected)
    assert (result.value, result.n) == (pytest.approx(np.mean(expected)), 12)
    assert pairwise_distance(samples[:, :1].expand(3, 4, 5)).value == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("width", [6, 50])
def test_vendi_counts_kinds(width: int) -> None:
    kinds = torch.eye(width, dtype=torch.float64)[:4]
    assert vendi_score(kinds.repeat(5, 1)[None]).value == pytest.approx(4)
    assert vendi_score(kinds[None]).value == pytest.approx(4)
    assert vendi_score(kinds[:1].expand(1, 7, width)).value == pytest.approx(1)


@pytest.mark.parametrize("shape", [(2, 5, 9), (2, 9, 5)])
def test_vendi_is_the_exponential_of_the_entropy_of_the_kernel_matrix(shape: tuple[int, int, int]) -> None:
    samples = normal(*shape)
    expected = []
    for group in unit(samples.numpy()):
        p = np.linalg.eigvals(group @ group.T / len(group)).real
        p = p[p > 1e-12]
        expected.append(np.prod(p**-p))
    result = vendi_score(samples)
    assert result.per_item is not None
    assert result.per_item.tolist() == pytest.approx(expected)
    assert result.n == shape[0] * shape[1]


# Bias left


def test_the_base_itself_has_all_its_bias_left() -> None:
    base = normal(12, 5)
    assert distance_from_base(2 * base, base).value == pytest.approx(0, abs=1e-12)
    assert mmd_from_base(base, base).value == pytest.approx(0, abs=1e-12)


def test_distance_from_the_base_is_paired_and_its_mmd_is_not() -> None:
    base = normal(200, 5, mean=1)
    swapped = base.flip(0)
    x, y = unit(swapped.numpy()), unit(base.numpy())
    result = distance_from_base(swapped, base)
    assert result.value == pytest.approx(np.mean([1 - a @ b for a, b in zip(x, y, strict=True)]))
    assert (result.n, result.references) == (200, 200)
    assert abs(mmd_from_base(swapped, base).value) < 0.1 * mmd_from_base(base + 0.5, base).value


def test_mmd_from_the_base_takes_another_kernel() -> None:
    x, y = normal(8, 3, seed=1), normal(8, 3, seed=2, mean=1)
    pairs = [(i, j) for i in range(8) for j in range(8) if i != j]
    expected = np.mean([float(x[i] @ x[j] + y[i] @ y[j] - 2 * x[i] @ y[j]) for i, j in pairs])
    assert mmd_from_base(x, y, lambda a, b: a @ b.T).value == pytest.approx(expected)


# What all of them share


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32])
def test_features_of_any_type_and_with_a_gradient_are_taken(kind: torch.dtype) -> None:
    x, y = normal(6, 4, seed=1).to(kind).requires_grad_(), normal(6, 4, seed=2).to(kind)
    exact = x.detach().double()
    for metric in (kid, cmmd, fid, clip_score, distance_from_base, mmd_from_base):
        result = metric(x, y)
        assert result.value == metric(exact, y.double()).value
        assert result.per_item is None or not result.per_item.requires_grad


def test_a_record_holds_what_is_known_and_fits_json() -> None:
    record = kid(normal(30, 4, seed=1), normal(20, 4, seed=2)).record()
    assert json.loads(json.dumps(record)) == record
    assert set(record) == {"value", "n", "references", "error"}
    assert MetricValue(1.0, 2).record() == {"value": 1.0, "n": 2}


@pytest.mark.parametrize("metric", [kid, cmmd, fid, mmd_from_base])
def test_one_image_is_too_few_for_a_set(metric) -> None:
    with pytest.raises(RunError, match="has 1 images; at least 2 are needed"):
        metric(normal(1, 4), normal(1, 4))


@pytest.mark.parametrize("metric", [clip_score, distance_from_base, mmd_from_base])
def test_rows_that_belong_together_must_be_as_many(metric) -> None:
    with pytest.raises(RunError, match="differ in size"):
        metric(normal(3, 4), normal(2, 4))


def test_all_faults_of_the_features_are_told_at_once() -> None:
    broken = normal(3, 4)
    broken[1, 2] = float("nan")
    with pytest.raises(RunError) as error:
        kid(broken, normal(1, 5))
    for part in ("the first of image 1", "has 1 images", "samples 4, reference 5"):
        assert part in str(error.value)


def test_features_without_a_direction_are_told() -> None:
    with pytest.raises(RunError, match="image 2 of reference are all 0"):
        cmmd(normal(3, 4), torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]))


def test_diversity_needs_prompts_and_two_samples_of_each() -> None:
    with pytest.raises(RunError, match="at least 2 samples a prompt"):
        pairwise_distance(normal(3, 1, 4))
    with pytest.raises(RunError, match="expected"):
        vendi_score(normal(3, 4))
