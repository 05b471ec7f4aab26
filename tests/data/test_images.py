"""Pictures as they are read: turned upright, square, and back again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
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
