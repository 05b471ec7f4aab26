"""Images for raters: pixels without metadata, all of one size and format, under opaque names.

The side is the longest that every image reaches, at most `MAX_SIDE`; images of the toy world, smaller than `MIN_SIDE`,
are enlarged to it or just above, by a whole factor and without new colours. Images that are not square get grey bars.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from scoft_hpc.errors import RatingError
from scoft_hpc.results.thumbnails import FORMATS
from scoft_hpc.study import atomic

MAX_SIDE, MIN_SIDE = 768, 256
GREY = (127, 127, 127)
FILE_TIME = 1_577_836_800
"""The modification time of every file, 1 January 2020, so that it does not reveal when an image was drawn."""
BROKEN = (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError)


def readable(file: Path) -> bool:
    """Whether the file is a complete image in one of `FORMATS`."""
    try:
        _open(file)
    except BROKEN:
        return False
    return True


def common_side(sizes: Iterable[tuple[int, int]]) -> int:
    """The longest side that every image of these sizes reaches, within `MAX_SIDE`; small sides are multiplied."""
    side = min(MAX_SIDE, min(max(size) for size in sizes))
    return side if side >= MIN_SIDE else side * -(-MIN_SIDE // side)


def write_all(folder: Path, sources: Mapping[str, Path]) -> int:
    """Write the image of each name and remove all others; returns the side in pixels.

    Raises:
        RatingError: if an image can no longer be read. OSError: if the folder cannot be written to.
    """
    side = common_side(map(_size, sources.values()))
    for name in sorted(sources):  # in the order of names: the folder's order must not reveal the systems
        try:
            image = even(_open(sources[name]), side)
        except BROKEN as error:
            raise RatingError(
                f"{sources[name]} cannot be read any more ({error}); expected the sample as it was drawn. "
                f"Run `scoft-hpc survey make` again, which leaves its page out."
            ) from None
        with atomic.replace(folder / name) as temporary:
            image.save(temporary, format="PNG")
            os.utime(temporary, (FILE_TIME, FILE_TIME))
    for file in folder.iterdir():
        if file.name not in sources:
            file.unlink()
    return side


def even(image: Image.Image, side: int) -> Image.Image:
    """The image scaled into a square of this side, with grey bars if it is not square."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    method = Image.Resampling.NEAREST if scale.is_integer() else Image.Resampling.LANCZOS
    square = Image.new("RGB", (side, side), GREY)  # a new image has none of the old one's metadata
    square.paste(image.resize(size, method), ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def _open(file: Path) -> Image.Image:
    """The image in RGB, on white where it is transparent."""
    with Image.open(file, formats=FORMATS) as opened:
        if "A" in opened.getbands() or "transparency" in opened.info:
            white = Image.new("RGBA", opened.size, "white")
            return Image.alpha_composite(white, opened.convert("RGBA")).convert("RGB")
        return opened.convert("RGB")


def _size(file: Path) -> tuple[int, int]:
    with Image.open(file, formats=FORMATS) as opened:
        return opened.size
