"""Pictures from files as tensors, and back."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from scoft_hpc.inputs.image_check import FORMATS
from scoft_hpc.study import atomic


def open_picture(path: Path) -> Image.Image:
    """A checked picture in RGB, turned as its camera says (EXIF), as Hugging Face's `imagefolder` shows it."""
    with Image.open(path, formats=FORMATS) as file:
        image = ImageOps.exif_transpose(file)
    if image.mode.startswith("I"):
        # Grey in 16 bits, as scanners write: Pillow would cut it off at 255, to white.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB")


def read_pixels(path: Path, resolution: int) -> Tensor:
    """A checked picture as uint8 [3, H, W]: short side resized to `resolution` (bilinear), cropped at the centre."""
    image = open_picture(path)
    scale = resolution / min(image.size)
    size = (max(resolution, round(image.width * scale)), max(resolution, round(image.height * scale)))
    if image.size != size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - resolution) // 2, (size[1] - resolution) // 2
    image = image.crop((left, top, left + resolution, top + resolution))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def read_images(paths: list[Path], resolution: int) -> Tensor:
    """Square pictures [N, 3, resolution, resolution] in [-1, 1]."""
    return from_pixels(torch.stack([read_pixels(path, resolution) for path in paths]))


def from_pixels(pixels: Tensor) -> Tensor:
    """uint8 as fp32 in [-1, 1]."""
    return pixels.float() / 127.5 - 1


def to_pixels(x: Tensor) -> Tensor:
    """[-1, 1] as uint8."""
    return ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def write_png(path: Path, x: Tensor) -> None:
    """Write one picture [3, H, W] in [-1, 1], atomically."""
    buffer = io.BytesIO()
    Image.fromarray(to_pixels(x).permute(1, 2, 0).cpu().numpy()).save(buffer, format="PNG")
    atomic.write_bytes(path, buffer.getvalue())
