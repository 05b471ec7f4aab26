"""Each distance against a slow rewriting: PIL resizes, numpy colours, transformers' network called plainly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from transformers import Blip2ForImageTextRetrieval, CLIPModel, Dinov2Model

from perceptual.slow_preprocessing import CLIP, IMAGENET, Array, coloured, images, in_unit_range, resized
from scoft_hpc.config.schema import Objective
from scoft_hpc.errors import ConfigError
from scoft_hpc.models.network import load_network
from scoft_hpc.models.toy_networks import load_feature_net
from scoft_hpc.perceptual import augmentations
from scoft_hpc.perceptual.registry import load_distance

CPU = torch.device("cpu")
SEEDS = torch.tensor([8, 9])


@pytest.fixture
def x_hat() -> torch.Tensor:
    return images(2)


@pytest.fixture
def x() -> torch.Tensor:
    return images(2, 2)


def measured(objective: Objective, x_hat: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    distance = load_distance(objective.distance, objective, CPU)
    target_features = distance.target(x.flatten(0, 1)).unflatten(0, x.shape[:2])
    return distance(x_hat, target_features, SEEDS)


@torch.no_grad()
def test_dino_is_the_mse_of_the_tokens_that_enter_the_last_layer_norm(
    folders: dict[str, Path], objectives: dict[str, Objective], x_hat: torch.Tensor, x: torch.Tensor
) -> None:
    network = Dinov2Model.from_pretrained(folders["dino"]).eval()
    entered: list[torch.Tensor] = []
    network.layernorm.register_forward_pre_hook(lambda _module, inputs: entered.append(inputs[0]))

    def tokens(image: torch.Tensor) -> torch.Tensor:
        network(coloured(resized(in_unit_range(image).clip(0, 1)), IMAGENET))
        return entered.pop()

    s = measured(objectives["dino"], x_hat, x)
    for n in range(2):
        for k in range(2):
            generated, target = tokens(x_hat[n]), tokens(x[n, k])
            assert generated.shape == (1, 1 + 16 * 16, 32)
            assert float(s[n, k]) == pytest.approx(float(((generated - target) ** 2).mean()), rel=1e-3)


@torch.no_grad()
def test_blip2_is_the_mse_of_projected_queries_of_length_one(
    folders: dict[str, Path], objectives: dict[str, Objective], x_hat: torch.Tensor, x: torch.Tensor
) -> None:
    network = Blip2ForImageTextRetrieval.from_pretrained(folders["blip2"]).eval()
    token_ids = torch.tensor([[1, 2, 3]])

    def queries(image: torch.Tensor) -> torch.Tensor:
        pixels = coloured(resized(in_unit_range(image)), CLIP)
        return network(pixels, token_ids, torch.ones_like(token_ids), return_dict=True).image_embeds

    s = measured(objectives["blip2"], x_hat, x)
    for n in range(2):
        for k in range(2):
            generated, target = queries(x_hat[n]), queries(x[n, k])
            assert generated.shape == (1, 5, 16)
            assert float(s[n, k]) == pytest.approx(float(((generated - target) ** 2).mean()), rel=1e-3)


@pytest.mark.slow
@torch.no_grad()
def test_clip_compares_tokens_of_the_clean_image_and_of_the_rows_ten_views(
    folders: dict[str, Path], objectives: dict[str, Objective], x_hat: torch.Tensor, x: torch.Tensor
) -> None:
    network = CLIPModel.from_pretrained(folders["clip"]).eval().vision_model
    angles = augmentations.sample_params(SEEDS, 10, 320, 320)

    def tokens(image: torch.Tensor, row: int) -> torch.Tensor:
        clean = in_unit_range(image).clip(0, 1)
        seen = [resized(clean)]
        for a in range(10):
            warped = seen_through(clean, angles.homography[row, a].double().numpy())
            top, left, side = (int(v) for v in angles.crop[row, a])
            seen.append(
                resized(warped[:, top : top + side, left : left + side], how=Image.Resampling.BILINEAR)
            )
        outputs = [
            network(coloured(view, CLIP), output_hidden_states=True).hidden_states[-1] for view in seen
        ]
        return torch.cat(outputs)

    s = measured(objectives["clip"], x_hat, x)
    for n in range(2):
        for k in range(2):
            generated, target = tokens(x_hat[n], n), tokens(x[n, k], n)
            assert generated.shape == (11, 1 + 7 * 7, 32)
            cosine = (generated * target).sum(-1) / (generated.norm(dim=-1) * target.norm(dim=-1))
            assert float(s[n, k]) == pytest.approx(float((1 - cosine).mean()), rel=1e-3)


def seen_through(image: Array, homography: NDArray[np.float64]) -> Array:
    """Bilinear interpolation between pixel centres, black outside; [3, H, W]."""
    height, width = image.shape[1:]
    down, across = np.mgrid[0:height, 0:width] + 0.5
    u, v, w = np.einsum("ij,jhw->ihw", homography, np.stack([across, down, np.ones_like(across)]))
    col, row = u / w - 0.5, v / w - 0.5
    left, top = np.floor(col).astype(int), np.floor(row).astype(int)
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    total = np.zeros(image.shape)
    for i in (0, 1):
        for j in (0, 1):
            r, c = (top + i + 1).clip(0, height + 1), (left + j + 1).clip(0, width + 1)
            total += padded[:, r, c] * (1 - abs(row - top - i)) * (1 - abs(col - left - j))
    return total.astype(np.float32)


def test_toy_distance_is_the_sum_over_maps_of_unit_channels_squared_differences(
    objectives: dict[str, Objective],
) -> None:
    x_hat, x = images(2, size=60), images(2, 3, size=60)
    s = measured(objectives["toy"], x_hat, x)
    network = load_feature_net()

    def maps(image: torch.Tensor) -> list[torch.Tensor]:
        how = Image.Resampling.BILINEAR
        return network(torch.from_numpy(resized(np.asarray(image, np.float32), 64, how))[None])

    for i in range(2):
        for k in range(3):
            assert float(s[i, k]) == pytest.approx(unit_channels(maps(x_hat[i]), maps(x[i, k])), rel=1e-3)


def unit_channels(generated: list[torch.Tensor], target: list[torch.Tensor]) -> float:
    """|u - v|^2 of unit vectors is 2 - 2 cosine."""
    cosine = torch.nn.functional.cosine_similarity
    return sum(float((2 - 2 * cosine(a, b, dim=1)).mean()) for a, b in zip(generated, target, strict=True))


@pytest.mark.parametrize("form", ["safetensors", "pickle"])
def test_a_network_is_loaded_whole_frozen_and_quietly(
    folders: dict[str, Path], tmp_path: Path, form: str, capfd: pytest.CaptureFixture[str]
) -> None:
    folder, expected = folders["dino"], Dinov2Model.from_pretrained(folders["dino"])
    if form == "pickle":
        folder = tmp_path
        (tmp_path / "config.json").write_bytes((folders["dino"] / "config.json").read_bytes())
        torch.save(expected.state_dict(), tmp_path / "pytorch_model.bin")
    capfd.readouterr()
    network = load_network(Dinov2Model, folder, use_safetensors=None, dtype=torch.float32)
    assert capfd.readouterr() == ("", "")
    assert not network.training
    assert all(not p.requires_grad and p.dtype == torch.float32 for p in network.parameters())
    for name, value in network.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name]), name


def test_a_pickle_that_would_run_code_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((folders["dino"] / "config.json").read_bytes())
    torch.save({"weight": Trap(tmp_path / "ran")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="cannot be loaded as a Dinov2Model"):
        load_network(Dinov2Model, tmp_path, use_safetensors=None)
    assert not (tmp_path / "ran").exists()


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def test_a_network_of_which_weights_are_absent_is_refused(folders: dict[str, Path], tmp_path: Path) -> None:
    network = Dinov2Model.from_pretrained(folders["dino"])
    state = {name: value for name, value in network.state_dict().items() if "encoder.layer.1" not in name}
    network.save_pretrained(tmp_path, state_dict=state)
    with pytest.raises(ConfigError, match=r"weights are not in its files, such as encoder\.layer\.1"):
        load_network(Dinov2Model, tmp_path, use_safetensors=None)
