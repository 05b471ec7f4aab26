"""Samples as they stand in a report or on W&B: small, and inside the file that shows them."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scoft_hpc.study.paths import RunDir

if TYPE_CHECKING:
    from PIL.Image import Image

FORMATS = ("PNG", "JPEG", "WEBP")
THUMBNAIL_PIXELS = 160
"""Larger pictures are shown this size; the full ones lie in the run's folder."""


def sample(run: RunDir, file: str) -> Path:
    """The file of a sample that scores.json names, which never leads out of the run's folders of samples."""
    folder = run.neutral if Path(file).parts[:1] == (run.neutral.name,) else run.samples
    return folder / Path(file).name


def data_uri(path: Path) -> str | None:
    """The picture as a data URI of a few kB; None if the file is not there or is no picture."""
    image = _read(path, THUMBNAIL_PIXELS)
    if image is None:
        return None
    content = io.BytesIO()
    image.save(content, format="WEBP", quality=72 if max(image.size) == THUMBNAIL_PIXELS else 92)
    return "data:image/webp;base64," + base64.b64encode(content.getvalue()).decode()


def contact_sheet(rows: Sequence[Sequence[Path]], side: int = 64, gap: int = 2) -> Image:
    """One picture of pictures in rows, each `side` pixels wide; a picture that is not there stays white."""
    import PIL.Image

    columns = max((len(row) for row in rows), default=0)
    cell = side + gap
    sheet = PIL.Image.new("RGB", (max(1, columns * cell - gap), max(1, len(rows) * cell - gap)), "white")
    for y, row in enumerate(rows):
        for x, path in enumerate(row):
            image = _read(path, side)
            if image is not None:
                sheet.paste(image, (x * cell, y * cell))
    return sheet


def _read(path: Path, largest: int) -> Image | None:
    """The picture in RGB, no side longer than `largest`."""
    import PIL.Image

    try:
        with PIL.Image.open(path, formats=FORMATS) as file:
            file.draft("RGB", (largest, largest))
            image = file.convert("RGB")
    except (OSError, ValueError, PIL.Image.DecompressionBombError):
        return None
    image.thumbnail((largest, largest), PIL.Image.Resampling.LANCZOS)
    return image
