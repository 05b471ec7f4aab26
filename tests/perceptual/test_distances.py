"""What holds for every distance: gradients, types, rows that know nothing of each other, and zero at the target."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scoft_hpc.config.schema import DISTANCES as NAMES
from scoft_hpc.config.schema import Objective
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints.distances import path_of
from scoft_hpc.perceptual.feature_maps import map_distance
from scoft_hpc.perceptual.registry import DISTANCES, load_distance

CPU = torch.device("cpu")
BUNDLED = ["toy", "dino", "clip", "blip2", "vgg"]
"""Those that need no package beyond the core's; check_dreamsim.py tests the other one."""


@pytest.fixture(scope="module")
def distances(objectives: dict[str, Objective]) -> dict[str, nn.Module]:
    return {name: load_distance(name, objectives[name], CPU) for name in BUNDLED}


@pytest.fixture(params=BUNDLED)
def distance(request: pytest.FixtureRequest, distances: dict[str, nn.Module]) -> nn.Module:
    return distances[request.param]


def images(*shape: int, size: int = 64) -> Tensor:
    """Noisy patches of colour inside [-1, 1]: no clamp stops a gradient, and no two pixels are alike in a pooling."""
    rng = torch.Generator().manual_seed(len(shape))
    patches = torch.rand(*shape, 3, 8, 8, generator=rng) * 1.4 - 0.7
    patches = patches.repeat_interleave(size // 8, -1).repeat_interleave(size // 8, -2)
    return patches + 0.4 * torch.rand(patches.shape, generator=rng) - 0.2


def targets(distance: nn.Module, x: Tensor) -> Tensor:
    """What is kept of images [N, K, 3, H, W]."""
    return distance.target(x.flatten(0, 1)).unflatten(0, x.shape[:2])


SEEDS = torch.tensor([3, 4])


def test_the_registry_and_the_settings_know_the_same_names() -> None:
    assert tuple(DISTANCES) == NAMES


def test_what_is_kept_of_a_target_is_features_or_the_image(distance: nn.Module) -> None:
    x = images(2).requires_grad_()
    target_features = distance.target(x)
    assert not target_features.requires_grad
    assert len(target_features) == 2
    if distance.cacheable:
        assert target_features.dtype == torch.float32
        assert target_features.ndim < 4
    else:
        assert torch.equal(target_features, x)


def test_it_is_zero_at_the_target_and_above_elsewhere(distance: nn.Module) -> None:
    x = images(2, 3)
    s = distance(x[:, 1], targets(distance, x), SEEDS)
    assert s.shape == (2, 3)
    assert s[:, 1].abs().max() < 1e-6
    assert s[:, [0, 2]].min() > 1e-4


def test_the_gradient_reaches_x_hat_and_nothing_else(distance: nn.Module) -> None:
    x_hat, x = images(2).requires_grad_(), images(2, 2).requires_grad_()
    distance(x_hat, targets(distance, x), SEEDS).sum().backward()
    assert x_hat.grad is not None
    assert x_hat.grad.flatten(1).abs().sum(1).min() > 0
    assert x.grad is None
    assert all(p.grad is None and not p.requires_grad for p in distance.parameters())


@pytest.mark.slow
def test_the_gradient_is_that_of_finite_differences(distance: nn.Module) -> None:
    double = copy.deepcopy(distance).double()
    x_hat, x = images(2).double().requires_grad_(), images(2, 1).double()
    target_features = targets(double, x)
    direction = torch.randn(x_hat.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    s = double(x_hat, target_features, SEEDS)
    (gradient,) = torch.autograd.grad(s.sum(), x_hat)
    h = 1e-8  # VGG has kinks, at ReLUs and poolings, this close
    with torch.no_grad():
        after, before = (
            double(x_hat + sign * h * direction, target_features, SEEDS).sum() for sign in (1, -1)
        )
    assert float((gradient * direction).sum()) == pytest.approx(
        float(after - before) / (2 * h), rel=1e-3, abs=1e-7
    )


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_images_are_compared_in_fp32(distance: nn.Module, dtype: torch.dtype) -> None:
    x_hat, x = images(2).to(dtype).requires_grad_(), images(2, 1).to(dtype)
    s = distance(x_hat, targets(distance, x), SEEDS)
    assert s.dtype == torch.float32
    same = distance(x_hat.detach().float(), targets(distance, x.float()), SEEDS)
    torch.testing.assert_close(s, same, rtol=1e-5, atol=1e-7)
    s.sum().backward()
    assert x_hat.grad is not None
    assert x_hat.grad.dtype == dtype
    assert x_hat.grad.isfinite().all()


@pytest.mark.slow
def test_a_row_does_not_depend_on_its_neighbours(distance: nn.Module) -> None:
    x_hat, x = images(2), images(2, 3)
    together = distance(x_hat, targets(distance, x), SEEDS)
    for n in range(2):
        for k in range(3):
            alone = distance(x_hat[n : n + 1], targets(distance, x[n : n + 1, k : k + 1]), SEEDS[n : n + 1])
            torch.testing.assert_close(alone[0, 0], together[n, k], rtol=1e-4, atol=1e-6)


def test_only_clip_draws_and_only_from_the_seeds(distances: dict[str, nn.Module]) -> None:
    x_hat, x = images(1), images(1, 1)
    for name, distance in distances.items():
        target_features = targets(distance, x)
        torch.manual_seed(0)
        one = distance(x_hat, target_features, torch.tensor([5]))
        torch.manual_seed(1)
        again, other = (
            distance(x_hat, target_features, torch.tensor([5])),
            distance(x_hat, target_features, torch.tensor([6])),
        )
        assert torch.equal(one, again)
        assert torch.equal(one, other) == (name != "clip")


def test_a_network_is_known_by_its_name_and_path(folders: dict[str, Path]) -> None:
    objective = Objective(distance="dino", distance_path="a", vgg_path="b")
    assert path_of("dino", objective) == "a"
    assert path_of("dino", Objective(distance="dino", distance_path="c")) == "c"
    assert path_of("vgg", objective) == "b"
    assert path_of("vgg", Objective(distance="vgg", vgg_path="b", w_vgg=0.5)) == "b"


def test_a_dark_map_gives_no_nan() -> None:
    """Where all channels are 0 the unit vector is undefined; the distance and its gradient stay finite."""
    x_hat = torch.zeros(1, 3, 8, 8, requires_grad=True)
    s = map_distance(lambda x: [x], x_hat, torch.zeros(1, 1, 3, 8, 8))
    s.sum().backward()
    assert s.isfinite().all()
    assert x_hat.grad is not None
    assert x_hat.grad.isfinite().all()


def test_an_unknown_distance_names_the_options() -> None:
    with pytest.raises(ConfigError, match="toy, dreamsim, dino, clip, blip2, vgg"):
        load_distance("lpips", Objective(), CPU)
