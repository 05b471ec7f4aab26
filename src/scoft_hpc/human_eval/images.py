"""Images as raters get them: nothing but pixels, all of one size and format, under names that tell nothing.

The side is the longest that every image reaches, at most `LARGEST`; images of a toy world, smaller than `LEGIBLE`,
are enlarged to it or just above, by a whole factor and without new colours. What is not square lies on grey.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from scoft_hpc.errors import RatingError
from scoft_hpc.results.thumbnails import FORMATS
from scoft_hpc.study import atomic

LARGEST, LEGIBLE = 768, 256
GREY = (127, 127, 127)
MOMENT = 1_577_836_800
"""The time that every file bears, so that none tells when its image was drawn: 1 January 2020."""
BROKEN = (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError)


def readable(file: Path) -> bool:
    """Whether there is a whole image in one of `FORMATS`."""
    try:
        _open(file)
    except BROKEN:
        return False
    return True


def common_side(sizes: Iterable[tuple[int, int]]) -> int:
    """The longest side that every image of these sizes reaches, within `LARGEST`; small ones are multiplied."""
    side = min(LARGEST, min(max(size) for size in sizes))
    return side if side >= LEGIBLE else side * -(-LEGIBLE // side)


def write_all(folder: Path, sources: Mapping[str, Path]) -> int:
    """Write the image of each name, and remove all others; the side in pixels.

    Raises:
        RatingError: if an image cannot be read any more. OSError: if the folder cannot be written to.
    """
    side = common_side(map(_size, sources.values()))
    for name in sorted(sources):  # in the names' order: a folder's own order would tell the systems'
        try:
            image = even(_open(sources[name]), side)
        except BROKEN as error:
            raise RatingError(
                f"{sources[name]} cannot be read any more ({error}); expected the sample as it was drawn: "
                f"`scoft-hpc survey make` again leaves its page out."
            ) from None
        with atomic.replace(folder / name) as temporary:
            image.save(temporary, format="PNG")
            os.utime(temporary, (MOMENT, MOMENT))
    for file in folder.iterdir():
        if file.name not in sources:
            file.unlink()
    return side


def even(image: Image.Image, side: int) -> Image.Image:
    """The picture's pixels in a square of the side, on grey where it is not square."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    method = Image.Resampling.NEAREST if scale.is_integer() else Image.Resampling.LANCZOS
    square = Image.new("RGB", (side, side), GREY)  # a new image has none of the old one's metadata
    square.paste(image.resize(size, method), ((side - size[0]) // 2, (side - size[1]) // 2))
    return square


def _open(file: Path) -> Image.Image:
    """The whole picture in RGB, on white where it is transparent."""
    with Image.open(file, formats=FORMATS) as opened:
        if "A" in opened.getbands() or "transparency" in opened.info:
            white = Image.new("RGBA", opened.size, "white")
            return Image.alpha_composite(white, opened.convert("RGBA")).convert("RGB")
        return opened.convert("RGB")


def _size(file: Path) -> tuple[int, int]:
    with Image.open(file, formats=FORMATS) as opened:
        return opened.size
