"""An image file of a culture: decoded once, to know that it can be used and what it is."""

from __future__ import annotations

import hashlib
import io
import os
import warnings
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP")
MIN_SIDE = 32
MAX_PIXELS = 64_000_000
"""Refused before decoding: stricter than Pillow, which up to 179 megapixels only warns."""
TOO_LARGE = f"expected at most {MAX_PIXELS // 10**6} megapixels. Scale it down."
MAX_BYTES = 64 * 2**20


@dataclass(frozen=True)
class ImageFile:
    """A whole image: the SHA-256 of its bytes and their number, its size in pixels as stored."""

    sha256: str
    bytes: int
    width: int
    height: int


def inspect_images(paths: Iterable[Path]) -> dict[Path, ImageFile | str]:
    """What each path's image is, or what is wrong with it; each is decoded once, in a few threads."""
    unique = list(dict.fromkeys(paths))
    with warnings.catch_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # about size, which is checked here, and about odd metadata
        return dict(zip(unique, pool.map(inspect_image, unique), strict=True))


def inspect_image(path: Path) -> ImageFile | str:
    """What the image is, if it is whole and can be used; else what is wrong with it, after its name."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            return f"has {size / 2**20:.0f} MiB; expected at most {MAX_BYTES // 2**20}. Save it smaller."
        content = path.read_bytes()
    except OSError as error:
        return f"cannot be read: {error.strerror}. Fix its permissions or replace it."
    return inspect_bytes(content)


def inspect_bytes(content: bytes) -> ImageFile | str:
    """The same for the bytes of an image file."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                return f"is {width} x {height}; {TOO_LARGE}"
            if min(width, height) < MIN_SIDE:
                return (
                    f"is {width} x {height}; expected {MIN_SIDE} pixels a side or more. Use a larger image."
                )
            image.load()
    except Image.DecompressionBombError:
        return f"is far too large; {TOO_LARGE}"
    except Exception as error:  # a decoder given hostile bytes may raise anything
        reason = (str(error) or type(error).__name__)[:60]
        return f"is not a whole image ({reason}); expected {', '.join(FORMATS)}. Replace the file."
    return ImageFile(hashlib.sha256(content).hexdigest(), len(content), width, height)
