"""Feature distances: values computed another way, gradients to the image, and clear refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from scoft_hpc.config.schema import DISTANCES as NAMES
from scoft_hpc.config.schema import Objective
from scoft_hpc.errors import ConfigError
from scoft_hpc.features.maps import map_distance
from scoft_hpc.features.registry import DISTANCES, load_distance
from scoft_hpc.features.vgg import MEAN, STD, vgg16_features
from scoft_hpc.toy.networks import load_feature_net

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def vgg_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchvision names VGG16's weights, with random ones; the classifier's are there too and ignored."""
    torch.manual_seed(0)
    state = {f"features.{name}": value for name, value in vgg16_features().state_dict().items()}
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_file({**state, "classifier.0.bias": torch.zeros(3)}, path)
    return path


def images(n: int, k: int, size: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(n)
    return torch.rand(n, 3, size, size, generator=rng) * 2 - 1, torch.rand(
        n, k, 3, size, size, generator=rng
    ) * 2 - 1


def test_the_registry_and_the_settings_know_the_same_names() -> None:
    assert tuple(DISTANCES) == NAMES


def test_toy_distance_is_the_sum_over_maps_of_unit_channels_squared_differences() -> None:
    x_hat, x = images(2, 3)
    s = load_distance("toy", Objective(), CPU)(x_hat, x)
    network = load_feature_net()
    for i in range(2):
        for k in range(3):
            expected = 0.0
            for a, b in zip(network(x_hat[i : i + 1]), network(x[i, k : k + 1]), strict=True):
                cosine = torch.nn.functional.cosine_similarity(a, b, dim=1)
                expected += float((2 - 2 * cosine).mean())  # |u - v|^2 of unit vectors
            assert float(s[i, k]) == pytest.approx(expected, rel=1e-4)


def test_vgg_distance_is_that_of_hooked_layers(vgg_weights: Path) -> None:
    """The maps read by hooks on VGG16's convolutions, which stand right before the ReLUs."""
    x_hat, x = images(1, 2, 48)
    distance = load_distance("vgg", Objective(vgg_path=str(vgg_weights)), CPU)
    s = distance(x_hat, x)
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)

    def maps(image: torch.Tensor) -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []
        hooks = [
            distance.layers[i].register_forward_hook(lambda _m, _i, out: seen.append(out.clone()))
            for i in (2, 7, 14, 21, 28)
        ]
        distance.layers((image / 2 + 0.5 - mean) / std)
        for hook in hooks:
            hook.remove()
        return seen

    for k in range(2):
        expected = sum(
            float((2 - 2 * torch.nn.functional.cosine_similarity(a, b, dim=1)).mean())
            for a, b in zip(maps(x_hat), maps(x[:, k]), strict=True)
        )
        assert float(s[0, k]) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_reaches_the_image_and_no_weight(name: str, vgg_weights: Path) -> None:
    distance = load_distance(name, Objective(vgg_path=str(vgg_weights)), CPU)
    x_hat, x = images(2, 2)
    x_hat.requires_grad_(), x.requires_grad_()
    distance(x_hat, x).sum().backward()
    assert x_hat.grad is not None
    assert x_hat.grad.abs().sum() > 0
    assert x.grad is None
    assert all(not p.requires_grad for p in distance.parameters())
    assert distance(x_hat, x_hat[:, None].detach()).abs().max() < 1e-6


def test_a_dark_map_gives_no_nan() -> None:
    """Where all channels are 0 the unit vector is undefined; the distance and its gradient stay finite."""
    x_hat = torch.zeros(1, 3, 8, 8, requires_grad=True)
    s = map_distance(lambda x: [x], x_hat, torch.zeros(1, 1, 3, 8, 8))
    s.sum().backward()
    assert s.isfinite().all()
    assert x_hat.grad is not None
    assert x_hat.grad.isfinite().all()


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "vgg_path"), (b"no tensors", "vgg16"), ({"features.0.bias": 3}, "vgg16")]
)
def test_wrong_vgg_weights_are_refused(tmp_path: Path, content: object, reason: str) -> None:
    path = tmp_path / "weights.safetensors"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        save_file({name: torch.zeros(size) for name, size in content.items()}, path)
    with pytest.raises(ConfigError, match=reason):
        load_distance("vgg", Objective(vgg_path=None if content is None else str(path)), CPU)


def test_an_unknown_distance_names_the_options() -> None:
    with pytest.raises(ConfigError, match="toy, vgg"):
        load_distance("lpips", Objective(), CPU)
