"""Images from files as tensors, and back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from scoft_hpc.inputs.image_check import FORMATS
from scoft_hpc.study import atomic


def open_image(path: Path) -> Image.Image:
    """A checked image in RGB, turned as its camera says (EXIF), as Hugging Face's `imagefolder` shows it."""
    with Image.open(path, formats=FORMATS) as file:
        image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I"):
        # Grey in 16 bits, as scanners write: Pillow would cut it off at 255, to white.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def read_pixels(path: Path, resolution: int) -> Tensor:
    """A checked image as uint8 [3, H, W]: short side resized to `resolution` (bilinear), cropped at the centre.

    The pixels are those of torchvision's Resize(resolution) and CenterCrop(resolution) on the same Pillow image.
    """
    image = open_image(path)
    size, (left, top) = resize_and_crop(*image.size, resolution)
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    image = image.crop((left, top, left + resolution, top + resolution))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def resize_and_crop(width: int, height: int, resolution: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """The resized (width, height) of an image, and the (left, top) corner of its central square, in pixels.

    Rounds as torchvision does: the long side down, the corner to the nearest integer and a half to the even one.
    """
    short = min(width, height)
    # Multiplied before it is divided, as there: another order can round to the other side of an integer.
    resized = int(resolution * width / short), int(resolution * height / short)
    return resized, (round((resized[0] - resolution) / 2), round((resized[1] - resolution) / 2))


def read_images(paths: list[Path], resolution: int) -> Tensor:
    """Square images [N, 3, resolution, resolution] in [-1, 1]."""
    return from_pixels(torch.stack([read_pixels(path, resolution) for path in paths]))


def from_pixels(pixels: Tensor) -> Tensor:
    """uint8 as fp32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def to_pixels(x: Tensor) -> Tensor:
    """[-1, 1] as uint8."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def write_png(path: Path, x: Tensor) -> None:
    """Write one image [3, H, W] in [-1, 1], atomically."""
    buffer = io.BytesIO()
    Image.fromarray(to_pixels(x).permute(1, 2, 0).cpu().numpy()).save(buffer, format="PNG")
    atomic.write_bytes(path, buffer.getvalue())
