"""Pictures as they are read: turned upright, square, and back again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from scoft_hpc.data import images


def test_a_photograph_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(64 * 64 * 3, dtype=np.uint32).reshape(64, 64, 3).astype(np.uint8))
    picture.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # held on its side: to be turned clockwise
    picture.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "side.png", exif=exif)
    upright, side = (images.read_pixels(tmp_path / f"{name}.png", 64) for name in ("upright", "side"))
    assert torch.equal(upright, side)


def test_the_short_side_is_resized_and_the_middle_kept(tmp_path: Path) -> None:
    picture = np.zeros((32, 96, 3), dtype=np.uint8)
    picture[:, 32:64] = 255
    Image.fromarray(picture).save(tmp_path / "wide.png")
    assert (images.read_pixels(tmp_path / "wide.png", 32) == 255).all()
    assert images.read_pixels(tmp_path / "wide.png", 64).shape == (3, 64, 64)


def test_a_scan_in_sixteen_bits_keeps_its_greys(tmp_path: Path) -> None:
    grey = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    Image.fromarray(grey).save(tmp_path / "scan.png")
    pixels = images.read_pixels(tmp_path / "scan.png", 64)
    assert torch.equal(pixels, torch.from_numpy((grey // 256).astype(np.uint8)).expand(3, -1, -1))


def torchvision_geometry(width: int, height: int, side: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The size (width, height) after torchvision's Resize(side), and CenterCrop(side)'s offsets (left, top).

    Resize sets the short side and rounds the long one down; CenterCrop rounds half of the excess to the nearest
    integer, a half to the even one.
    """
    short, long = sorted((width, height))
    other = int(side * long / short)
    resized = (side, other) if width <= height else (other, side)
    left, top = (round((length - side) / 2.0) for length in resized)
    return resized, (left, top)


def torchvision_square(picture: Image.Image, side: int) -> Image.Image:
    resized, (left, top) = torchvision_geometry(*picture.size, side)
    if resized != picture.size:
        picture = picture.resize(resized, Image.Resampling.BILINEAR)
    return picture.crop((left, top, left + side, top + side))


@pytest.mark.slow
@given(
    st.integers(32, 8000), st.integers(32, 8000), st.sampled_from([32, 64, 96, 224, 256, 448, 512, 768, 1024])
)
@settings(max_examples=2000, deadline=None)
@example(448, 299, 512)  # the long side is 767.1 …
@example(448, 300, 512)  # … and 764.6: rounded down to 764, not to the nearest
@example(65, 64, 64)  # an excess of 1: offset 0.5 becomes 0
@example(67, 64, 64)  # an excess of 3: offset 1.5 becomes 2, not 1
@example(64, 64, 64)
@example(8000, 32, 512)
def test_the_size_and_the_crop_are_those_of_torchvision(width: int, height: int, side: int) -> None:
    assert images.resize_and_crop(width, height, side) == torchvision_geometry(width, height, side)


@given(
    st.integers(32, 240), st.integers(32, 240), st.sampled_from([32, 48, 64, 100]), st.integers(0, 2**32 - 1)
)
@settings(max_examples=150, deadline=None)
@example(67, 64, 64, 0)
@example(149, 100, 64, 0)
def test_pixels_are_those_of_torchvision(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int, side: int, seed: int
) -> None:
    """Noise, in which a shift by one pixel changes nearly every value."""
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path = tmp_path_factory.mktemp("noise") / "noise.png"
    Image.fromarray(noise).save(path)
    expected = np.asarray(torchvision_square(Image.fromarray(noise), side))
    assert np.array_equal(images.read_pixels(path, side).permute(1, 2, 0).numpy(), expected)


def test_a_square_picture_of_the_right_size_is_not_resampled(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "square.png")
    assert np.array_equal(images.read_pixels(tmp_path / "square.png", 64).permute(1, 2, 0).numpy(), noise)
