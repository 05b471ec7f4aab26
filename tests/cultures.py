"""Culture folders of drawn pictures, for tests of what reads or writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

Row = dict[str, Any]


def picture(path: Path, seed: int, side: int = 48) -> Path:
    """A PNG with a shape and a colour of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new(
        "RGB", (side + seed % 3, side), (37 * seed % 256, 91 * seed % 256, 200 - 11 * seed % 150)
    )
    ImageDraw.Draw(image).ellipse((seed % 20, 5, seed % 20 + 20, 30), fill=(255 - 50 * seed % 256, 240, 60))
    image.save(path)
    return path


def row(folder: Path, seed: int, split: str = "train", **more: Any) -> Row:
    """A row with its picture; keys set to None are left out."""
    picture(folder / split / "images" / f"{seed}.png", seed)
    values = {"file_name": f"images/{seed}.png", "text": f"a person {seed}", "blip_text": "a picture"} | more
    return {key: value for key, value in values.items() if value is not None}


def write(folder: Path, rows: list[Row], split: str = "train") -> Path:
    """The split's metadata.jsonl."""
    path = folder / split / "metadata.jsonl"
    path.write_text("".join(json.dumps(values) + "\n" for values in rows))
    return path


def read(folder: Path, split: str = "train") -> list[Row]:
    return [json.loads(line) for line in (folder / split / "metadata.jsonl").read_text().splitlines()]
