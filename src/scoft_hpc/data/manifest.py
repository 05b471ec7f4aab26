"""A culture on disk in CCUB's form: read, checked row by row and image by image, and given a digest.

`<root>/<culture>/train/metadata.jsonl` holds one JSON object a line: `file_name` (relative to `train/`),
`text`, `blip_text` (a string or a list) and, if there are any, `negative_imgpath` (a list, relative to
`<culture>/`). `test/metadata.jsonl`, of the same form, is optional and holds pairs that no run trains on.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
import os
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from scoft_hpc.config.schema import NegativeSource, RunConfig, Variant
from scoft_hpc.errors import DataError

FORMATS = ("JPEG", "PNG", "WEBP")
MIN_SIDE = 32
MAX_PIXELS = 64_000_000
"""Refused before decoding: stricter than Pillow, which up to 179 megapixels only warns."""
TOO_LARGE = f"expected at most {MAX_PIXELS // 10**6} megapixels. Scale it down."
MAX_BYTES = 64 * 2**20
SHOWN = 20
"""So many faults are printed; the rest is counted."""


@dataclass(frozen=True)
class Pair:
    """An image with its caption (`text`), a generic caption of the same image, and its given negatives."""

    image: Path
    text: str
    blip_text: str
    negatives: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What a culture trains on and is held against; `digest` is that of its rows and its images' bytes."""

    culture: str
    folder: Path
    pairs: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    digest: str


def cultures(root: Path) -> list[str]:
    """The names below `root` that have a train/metadata.jsonl."""
    return sorted(p.parents[1].name for p in root.glob("*/train/metadata.jsonl") if p.parts[-3][0] != ".")


def read(root: Path, culture: str, pairs: int | None = None) -> Manifest:
    """Read the culture's rows (the first `pairs` of them) and decode every image they name.

    Raises:
        DataError: with all faults, each with its file and row.
    """
    folder = _culture_folder(root, culture)
    train = _rows(folder, "train")
    if pairs is not None and pairs > len(train):
        raise DataError(
            f"data.pairs={pairs}, but {culture} has {len(train)} pairs; ask for no more, or leave it out."
        )
    train = train[:pairs]
    if not train:
        raise DataError(f"{folder}/train/metadata.jsonl has no rows; expected one JSON object a line.")
    rows = [*train, *_rows(folder, "test")]
    faults = [fault for row in rows for fault in row.faults]
    faults += _repeated(rows)
    faults += _decode(rows)
    if faults:
        rest = len(faults) - SHOWN
        raise DataError.of(faults[:SHOWN] + ([f"… and {rest} more of the like."] if rest > 0 else []))
    return Manifest(
        culture=culture,
        folder=folder,
        pairs=tuple(row.pair for row in train),
        held_out=tuple(row.pair for row in rows[len(train) :]),
        digest=_digest(rows),
    )


def check_negatives(config: RunConfig, manifest: Manifest) -> list[str]:
    """What keeps the run from having the negatives that it needs, as sentences; empty if nothing does."""
    source = config.data.negatives.source
    bare = [pair.image.name for pair in manifest.pairs if not pair.negatives]
    if config.variant is not Variant.mpc or source is not NegativeSource.given or not bare:
        return []
    text = (
        f"{manifest.culture}: {len(bare)} of {len(manifest.pairs)} pairs have no negatives (the first is "
        f"{bare[0]}) and L_C, in variant mpc, needs one at least; name them in negative_imgpath, or have the "
        f"base draw them: data.negatives.source=img2img."
    )
    return [text]


@dataclass
class _Row:
    """One line of a metadata.jsonl while it is checked: `images` is filled by name, `sha256` by decoding."""

    where: str
    split: str
    values: dict[str, Any]
    images: list[Path]
    faults: list[str]
    sha256: list[str]

    @property
    def pair(self) -> Pair:
        image, *negatives = self.images
        return Pair(image, self.values["text"], self.values["blip_text"], tuple(negatives))


def _culture_folder(root: Path, culture: str) -> Path:
    names = cultures(root)
    if culture in names:
        return root / culture
    near = difflib.get_close_matches(culture.lower(), names, n=1)
    form = "expected a folder <culture>/train/ with a metadata.jsonl and the images beside it"
    if not names:
        raise DataError(f"there is no culture below {root}; {form}.")
    raise DataError(
        f"no culture {culture!r} below {root}; {f'did you mean {near[0]}? ' if near else ''}"
        f"There are: {', '.join(names)}. For another one, {form}."
    )


def _rows(folder: Path, split: str) -> list[_Row]:
    path = folder / split / "metadata.jsonl"
    if split == "test" and not path.exists():
        return []
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{path} leads out of {folder}; put the file itself there.")
    try:
        lines = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    return [
        _row(folder, split, f"{path}, row {number}", line)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _row(folder: Path, split: str, where: str, line: bytes) -> _Row:
    row = _Row(where, split, {}, [], [], [])
    try:
        values = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        row.faults.append(f"{where}: not JSON in UTF-8 ({error}); expected one JSON object a line.")
        return row
    if not isinstance(values, dict):
        row.faults.append(f'{where}: {_short(values)} is not a JSON object; expected {{"file_name": …}}.')
        return row
    blip = values.get("blip_text")
    wanted: dict[str, Any] = {
        "file_name": values.get("file_name"),
        "text": values.get("text"),
        "blip_text": blip[0] if isinstance(blip, list) and blip else blip,
    }
    for key, value in wanted.items():
        if fault := _text_fault(key, value):
            row.faults.append(f"{where}: {fault}")
    negatives = values.get("negative_imgpath")
    if negatives is None:
        negatives = []
    if not isinstance(negatives, list) or not all(isinstance(name, str) for name in negatives):
        row.faults.append(
            f"{where}: `negative_imgpath` is {_short(negatives)}; "
            f"expected a list of paths relative to {folder}, or []."
        )
    if row.faults:
        return row
    row.values = {key: value.strip() for key, value in wanted.items()} | {"negative_imgpath": negatives}
    names = [(folder / split, "file_name", wanted["file_name"])]
    names += [(folder, "negative_imgpath", name) for name in negatives]
    for start, key, name in names:
        path, fault = _inside(folder, start, name)
        row.images.append(path)
        if fault:
            row.faults.append(f"{where}: `{key}` {fault}")
    return row


def _text_fault(key: str, value: Any) -> str | None:
    if isinstance(value, str) and value.strip():
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"`{key}` holds half a character (a lone surrogate): {value!r}; write the text anew."
        return None
    empty = value == [] or isinstance(value, str)
    found = "missing" if value is None else "empty" if empty else _short(value)
    expected = "the image's path" if key == "file_name" else "a caption that is not empty"
    return f"`{key}` is {found}; expected {expected}."


def _inside(folder: Path, start: Path, name: str) -> tuple[Path, str | None]:
    """The file `name` as seen from `start`, and what is wrong with it if it is not a file below `folder`."""
    path = start / name
    if "\0" in name:
        return start, f"is {name!r}; a path holds no zero byte."
    if Path(name).is_absolute():
        return path, f"is the absolute path {name!r}; expected one relative to {start}."
    try:
        real = path.resolve()
        if not real.is_relative_to(folder.resolve()):
            return path, f"{name!r} leads out of the culture's folder; copy the image into {folder}."
        if not path.exists():
            return path, f"{name!r} does not exist; add {path} or remove the row."
        if not path.is_file():
            return path, f"{name!r} is not a file; expected an image ({', '.join(FORMATS)})."
    except (OSError, RuntimeError) as error:  # a name too long, a ring of links
        return path, f"{_short(name)} cannot be used: {getattr(error, 'strerror', None) or error}."
    return path, None


def _repeated(rows: Iterable[_Row]) -> Iterator[str]:
    first: dict[Path, str] = {}
    for row in rows:
        if row.images and not row.faults:
            image = row.images[0].resolve()
            if image in first:
                name = row.values["file_name"]
                yield f"{row.where}: `file_name` {name!r} is that of {first[image]}; remove one of the two."
            first.setdefault(image, row.where)


def _decode(rows: list[_Row]) -> Iterator[str]:
    """Decode every image once, in a few threads; fill each row's `sha256`; tell each unusable image once."""
    sound = [row for row in rows if not row.faults]
    first = {image: row.where for row in reversed(sound) for image in row.images}
    images = list(dict.fromkeys(image for row in sound for image in row.images))
    with warnings.catch_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        warnings.simplefilter("ignore")  # about size, which is checked here, and about odd metadata
        found = dict(zip(images, pool.map(_examine, images), strict=True))
    for image in images:
        if not found[image][0]:
            yield f"{first[image]}: {image} {found[image][1]}"
    for row in sound:
        row.sha256 = [found[image][0] for image in row.images]


def _examine(path: Path) -> tuple[str, str]:
    """(SHA-256 of the bytes, "") of a whole image that can be used, else ("", what is wrong)."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            return "", f"has {size / 2**20:.0f} MiB; expected at most {MAX_BYTES // 2**20}. Save it smaller."
        content = path.read_bytes()
    except OSError as error:
        return "", f"cannot be read: {error.strerror}. Mend its permissions or replace it."
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > MAX_PIXELS:
                return "", f"is {width} x {height}; {TOO_LARGE}"
            if min(width, height) < MIN_SIDE:
                return (
                    "",
                    f"is {width} x {height}; expected {MIN_SIDE} pixels a side or more. Use a larger image.",
                )
            image.load()
    except Image.DecompressionBombError:
        return "", f"is far too large; {TOO_LARGE}"
    except Exception as error:  # a decoder given hostile bytes may raise anything
        return "", f"is not a whole image ({_short(error)}); expected {', '.join(FORMATS)}. Replace the file."
    return hashlib.sha256(content).hexdigest(), ""


def _digest(rows: Iterable[_Row]) -> str:
    """16 hex digits of a SHA-256 over the rows in order and the bytes of their images."""
    total = hashlib.sha256()
    for row in rows:
        total.update(json.dumps([row.split, row.values, row.sha256], sort_keys=True).encode() + b"\n")
    return total.hexdigest()[:16]


def _short(value: Any) -> str:
    text = repr(value) if not isinstance(value, Exception) else str(value) or type(value).__name__
    return text if len(text) <= 60 else text[:57] + "…"
