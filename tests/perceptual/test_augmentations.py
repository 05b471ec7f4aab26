"""Random views: warps and crops as PIL makes them, drawn from a row's own seed, in torchvision's distributions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from scoft_hpc.perceptual import augmentations

SIZE = 96


def picture(size: int = SIZE) -> torch.Tensor:
    """Smooth, so that a shift by half a pixel shows and the border's treatment does not reach far; [1, 3, H, W]."""
    rng = torch.Generator().manual_seed(0)
    coarse = torch.rand(1, 3, 7, 7, generator=rng)
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)


def test_the_map_takes_each_corner_where_it_belongs() -> None:
    start = torch.tensor([[[0.0, 0], [95, 0], [95, 95], [0, 95]]], dtype=torch.float64)
    end = torch.tensor([[[10.0, 5], [80, 3], [90, 85], [2, 91]]], dtype=torch.float64)
    homography = augmentations.homography(end, start)
    ones = torch.ones(1, 4, 1, dtype=torch.float64)
    mapped = torch.cat([end, ones], -1) @ homography.mT
    torch.testing.assert_close(mapped[..., :2] / mapped[..., 2:], start)


def test_a_warp_is_pils_perspective_transform() -> None:
    angles = augmentations.sample_params(torch.tensor([1]), 5, SIZE, SIZE)
    x = picture()
    for homography in angles.homography[0]:
        warped = augmentations.warp(x, homography[None])[0]
        coefficients = (homography / homography[2, 2]).flatten()[:8].tolist()
        for channel, result in zip(x[0], warped, strict=True):
            theirs = np.array(
                Image.fromarray(channel.numpy(), "F").transform(
                    (SIZE, SIZE), Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR
                )
            )
            inside = (
                torch.nn.functional.max_pool2d(torch.tensor(theirs == 0).float()[None], 5, 1, padding=2)[0]
                == 0
            )
            assert inside.float().mean() > 0.3
            assert (result - torch.from_numpy(theirs))[inside].abs().max() < 1e-3
            outside = torch.nn.functional.max_pool2d((result != 0).float()[None], 5, 1, padding=2)[0] == 0
            assert (theirs[outside.numpy()] == 0).all()


def test_the_identity_and_a_shift_by_whole_pixels_are_exact() -> None:
    x = picture()
    torch.testing.assert_close(augmentations.warp(x, torch.eye(3)[None]), x, rtol=0, atol=1e-5)
    shift = torch.tensor([[[1.0, 0, 3], [0, 1, 0], [0, 0, 1]]])
    moved = augmentations.warp(x, shift)
    torch.testing.assert_close(moved[..., :-3], x[..., 3:], rtol=0, atol=1e-5)
    assert moved[..., -3:].abs().max() < 1e-5


@pytest.mark.parametrize("size", [96, 512])
def test_a_crop_is_resized_as_pil_resizes_it(size: int) -> None:
    x = picture(size)
    side = int(size * 0.92)
    top, left = 3, size - side - 1
    result = augmentations.crop_and_resize(x, torch.tensor([[float(top), left, side]]))[0]
    for channel, seen in zip(x[0].numpy(), result, strict=True):
        cut = Image.fromarray(channel[top : top + side, left : left + side], "F")
        theirs = np.asarray(cut.resize((224, 224), Image.Resampling.BILINEAR))
        assert np.abs(seen.numpy() - theirs).max() < 1e-4


def test_a_rows_views_follow_from_its_seed_alone() -> None:
    torch.manual_seed(0)
    one = augmentations.sample_params(torch.tensor([7, 8, 7]), 4, SIZE, SIZE)
    torch.manual_seed(1)
    alone = augmentations.sample_params(torch.tensor([8]), 4, SIZE, SIZE)
    for many, single in ((one.homography, alone.homography), (one.crop, alone.crop)):
        assert torch.equal(many[1], single[0])
        assert torch.equal(many[0], many[2])
        assert not torch.equal(many[0], many[1])
        assert len(torch.unique(single.flatten(2)[0], dim=0)) == 4


def test_corners_move_inwards_by_up_to_a_quarter_of_the_side_and_crops_keep_their_area() -> None:
    angles = augmentations.sample_params(torch.arange(200), 10, SIZE, SIZE)
    corners = torch.tensor([[0.0, 0, 1], [95, 0, 1], [95, 95, 1], [0, 95, 1]], dtype=torch.float64)
    ends = corners @ torch.linalg.inv(angles.homography.double()).mT
    ends = ends[..., :2] / ends[..., 2:]
    inwards = (ends - corners[:, :2]).abs().flatten(0, 1)
    assert inwards.max() == pytest.approx(24, abs=1e-2)
    assert inwards.min() == pytest.approx(0, abs=1e-2)
    assert inwards.mean() == pytest.approx(12, abs=0.2)
    top, left, side = angles.crop.flatten(0, 1).unbind(-1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (torch.maximum(top, left) + side <= SIZE).all()
    area = (side / SIZE) ** 2
    assert area.min() == pytest.approx(0.8, abs=0.02)
    assert area.max() == pytest.approx(1, abs=0.02)
    assert area.mean() == pytest.approx(0.9, abs=0.01)


def test_the_images_of_a_row_are_seen_from_the_same_angles() -> None:
    x = torch.stack([picture()[0], 1 - picture()[0]])[None].repeat(2, 1, 1, 1, 1)
    angles = augmentations.sample_params(torch.tensor([1, 2]), 3, SIZE, SIZE)
    seen = augmentations.apply(x, angles)
    assert seen.shape == (2, 2, 3, 3, 224, 224)
    white = augmentations.apply(torch.ones_like(x), angles)
    torch.testing.assert_close(seen[:, 0] + seen[:, 1], white[:, 0], rtol=0, atol=1e-5)
    assert not torch.allclose(seen[0], seen[1], atol=1e-3)
