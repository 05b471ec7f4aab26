from __future__ import annotations

from pathlib import Path

import pytest
import torch

from scoft_hpc.errors import DataError
from scoft_hpc.inputs.toy.scenes import Scene, render
from scoft_hpc.models.toy_networks import load_feature_net, load_scorer


def _x(*scenes: Scene) -> torch.Tensor:
    pictures = torch.stack([torch.from_numpy(render(scene)) for scene in scenes])
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


def test_feature_net_is_small_frozen_and_passes_gradients_to_the_picture() -> None:
    network = load_feature_net()
    assert sum(weight.numel() for weight in network.parameters()) <= 300_000
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())
    assert all(weight.dtype == torch.float32 for weight in network.parameters())
    x = _x(Scene("house", 3), Scene("tree", 0)).requires_grad_()
    features = network(x)
    assert [tuple(part.shape) for part in features] == [(2, 24, 32, 32), (2, 48, 16, 16), (2, 96, 8, 8)]
    sum(part.square().mean() for part in features).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert (x.grad.abs().amax(dim=(1, 2, 3)) > 0).all()


def test_features_are_nearer_within_a_style_than_across() -> None:
    network = load_feature_net()
    anchor, same_style, same_subject = (
        part for part in _x(Scene("house", 3), Scene("tree", 3), Scene("house", 0))
    )
    last = network(torch.stack([anchor, same_style, same_subject]))[-1]
    assert (last[0] - last[1]).square().mean() < (last[0] - last[2]).square().mean()


def test_scorer_is_frozen_and_reads_clean_renders() -> None:
    scorer = load_scorer()
    assert not scorer.training
    assert not any(weight.requires_grad for weight in scorer.parameters())
    reading = scorer(_x(Scene("house", 3), Scene("cup", 0, place="by a lake")))
    assert reading.style.argmax(dim=1).tolist() == [3, 0]
    assert reading.subject.argmax(dim=1).tolist() == [0, 7]


def test_a_missing_file_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"scorer\.safetensors.*tools/pretrain_toy"):
        load_scorer(tmp_path)
