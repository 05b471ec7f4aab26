"""The distance `vgg` against torchvision's stack with in-place ReLUs, read as the authors' extractor reads it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from reference import vgg
from scoft_hpc.config.schema import Objective
from scoft_hpc.perceptual.distance import ImageDistance
from scoft_hpc.perceptual.registry import load_distance

SEEDS = torch.tensor([8, 9])
BOUND = 1e-5


@pytest.fixture(scope="module")
def reference() -> vgg.Distance:
    return vgg.Distance(vgg.features())


@pytest.fixture(scope="module")
def distance(tmp_path_factory: pytest.TempPathFactory) -> ImageDistance:
    """Ours, with the reference's weights from a file."""
    file = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_file({f"features.{name}": value for name, value in vgg.features().state_dict().items()}, file)
    return load_distance("vgg", Objective(distance="vgg", vgg_path=str(file)), torch.device("cpu"))


def images(*shape: int, seed: int = 0, size: int = 64) -> Tensor:
    """Noisy patches of colour, a little beyond [-1, 1] as a decoder's pictures are."""
    rng = torch.Generator().manual_seed(seed)
    patches = torch.rand(*shape, 3, 8, 8, generator=rng) * 2 - 1
    patches = patches.repeat_interleave(size // 8, -1).repeat_interleave(size // 8, -2)
    return patches + 0.4 * torch.rand(patches.shape, generator=rng) - 0.2


def test_the_extractor_keeps_four_maps_after_relu_and_one_before(reference: vgg.Distance) -> None:
    minima = [float(m.min()) for m in reference.maps(images(2))]
    assert minima[:4] == [0, 0, 0, 0] and minima[4] < -0.5
    untouched = vgg.Distance(vgg.features(), inplace=False).maps(images(2))
    assert max(float(m.min()) for m in untouched) < -0.5
    for feature_map, before in zip(reference.maps(images(2))[:4], untouched, strict=False):
        torch.testing.assert_close(feature_map, before.relu(), rtol=0, atol=0)


def test_values_are_those_of_the_extractor(distance: ImageDistance, reference: vgg.Distance) -> None:
    x_hat, x = images(2), images(2, 3, seed=1)
    s = distance(x_hat, x, SEEDS)
    expected = torch.stack([reference(x_hat, x[:, k]) for k in range(3)], 1)
    torch.testing.assert_close(s, expected, rtol=BOUND, atol=0)


def test_gradients_are_those_of_the_extractor(distance: ImageDistance, reference: vgg.Distance) -> None:
    x_hat, x = images(2).requires_grad_(), images(2, 1, seed=1)
    (gradient,) = torch.autograd.grad(distance(x_hat, x, SEEDS).sum(), x_hat)
    (theirs,) = torch.autograd.grad(reference(x_hat, x[:, 0]).sum(), x_hat)
    assert float((gradient - theirs).norm()) <= BOUND * float(theirs.norm())


def test_maps_before_every_relu_are_another_distance(reference: vgg.Distance) -> None:
    """Reading the cuts without the in-place ReLU is off by far more than the bound, in every group but the last."""
    x_hat, x = images(2), images(2, seed=1)
    before = vgg.Distance(vgg.features(), inplace=False)
    off = (before.groupwise(x_hat, x) / reference.groupwise(x_hat, x) - 1).abs()
    assert float(off[:4].min()) > 1000 * BOUND
    assert torch.equal(off[4], torch.zeros(2))


def test_a_position_without_any_feature_has_a_finite_gradient(tmp_path: Path) -> None:
    """After ReLU all channels of a position can be 0, where a unit vector is not defined."""
    state = {f"features.{name}": value for name, value in vgg.features().state_dict().items()}
    state["features.2.bias"] = torch.full((64,), -1e3)  # group 1 is dark everywhere
    save_file(state, tmp_path / "vgg16.safetensors")
    objective = Objective(distance="vgg", vgg_path=str(tmp_path / "vgg16.safetensors"))
    x_hat = images(1).requires_grad_()
    s = load_distance("vgg", objective, torch.device("cpu"))(x_hat, images(1, 1, seed=1), SEEDS[:1])
    s.sum().backward()
    assert s.isfinite().all()
    assert x_hat.grad is not None and x_hat.grad.isfinite().all()
