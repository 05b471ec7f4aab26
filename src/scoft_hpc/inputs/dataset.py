"""A culture on disk in CCUB's form: read, checked row by row and image by image, and given a digest.

`<root>/<culture>/train/metadata.jsonl` holds one JSON object a line: `file_name` (relative to `train/`),
`text`, `blip_text` (a string or a list) and, if there are any, `negative_imgpath` (a list, relative to
`<culture>/`). `test/metadata.jsonl`, of the same form, is optional and holds pairs that no run trains on.
"""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoft_hpc.config.schema import NegativeSource, RunConfig, Variant
from scoft_hpc.errors import ConfigError, DataError
from scoft_hpc.inputs.image_check import inspect_images
from scoft_hpc.inputs.metadata_rows import METADATA, MetadataRow, read_rows, require_captions
from scoft_hpc.text import did_you_mean, shorten

MAX_PROBLEMS_LISTED = 20


@dataclass(frozen=True)
class Pair:
    """An image with its caption (`text`), a generic caption of the same image, and its given negatives."""

    image: Path
    text: str
    blip_text: str
    negatives: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Manifest:
    """What a culture is trained on and compared with; `digest` is that of its rows and its images' bytes."""

    culture: str
    folder: Path
    pairs: tuple[Pair, ...]
    held_out: tuple[Pair, ...]
    digest: str


def cultures(root: Path) -> list[str]:
    """The names below `root` that have a train/metadata.jsonl."""
    return sorted(p.parents[1].name for p in root.glob("*/train/metadata.jsonl") if p.parts[-3][0] != ".")


def select_cultures(requested: Any, options: Sequence[str]) -> list[str]:
    """The cultures that `culture=` asks for: one, a list, or `all` of the options.

    Raises:
        ConfigError: for names that are no option.
    """
    if requested == "all":
        return list(options)
    names = list(dict.fromkeys(requested if isinstance(requested, (list, tuple)) else [requested]))
    unknown = [str(name) for name in names if name not in options]
    if unknown or not names:
        problems = f"unknown: {', '.join(unknown)}" if unknown else "an empty list"
        raise ConfigError(
            f"culture: {problems}; expected one of {', '.join(options)}, "
            f"a list such as 'culture=[{','.join(options[:2])}]', or all."
        )
    return names


def read(root: Path, culture: str, pairs: int | None = None) -> Manifest:
    """Read the culture's rows (the first `pairs` of them) and decode every image they name.

    Raises:
        DataError: with all faults, each with its file and row.
    """
    return from_rows(culture, root / culture, validate(root, culture, pairs))


def validate(
    root: Path, culture: str, pairs: int | None = None, *, captioned: bool = True
) -> list[MetadataRow]:
    """The culture's rows, checked, their images decoded: those to train on, then those held out.

    Unless `captioned`, rows may lack their generic caption.

    Raises:
        DataError: with all faults, each with its file and row.
    """
    folder = _culture_folder(root, culture)
    train = read_rows(folder, "train")
    if pairs is not None and pairs > len(train):
        raise DataError(
            f"data.pairs={pairs}, but {culture} has {len(train)} pairs; ask for no more, or leave it out."
        )
    train = train[:pairs]
    if not train:
        raise DataError(f"{folder}/train/{METADATA} has no rows; expected one JSON object a line.")
    rows = [*train, *read_rows(folder, "test")]
    if captioned:
        remedy = "python -m scoft_hpc.prepare culture={} data.root={} data.captions.source=blip"
        require_captions(rows, remedy.format(*map(shlex.quote, (culture, str(root)))))
    faults = [fault for row in rows for fault in row.faults]
    faults += _repeated(rows)
    faults += _decode(rows)
    if faults:
        raise DataError.from_messages(shorten(faults, MAX_PROBLEMS_LISTED, "more."))
    return rows


def from_rows(culture: str, folder: Path, rows: Sequence[MetadataRow]) -> Manifest:
    """The manifest of rows that `validate` found to be sound and captioned."""
    return Manifest(
        culture=culture,
        folder=folder,
        pairs=tuple(_pair(row) for row in rows if row.split == "train"),
        held_out=tuple(_pair(row) for row in rows if row.split == "test"),
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
        f"base draw them: negatives=depth, the authors' way, or negatives=img2img, which needs no further network."
    )
    return [text]


def _pair(row: MetadataRow) -> Pair:
    image, *negatives = row.images
    return Pair(image, row.values["text"], row.values["blip_text"], tuple(negatives))


def _culture_folder(root: Path, culture: str) -> Path:
    names = cultures(root)
    if culture in names:
        return root / culture
    form = "expected a folder <culture>/train/ with a metadata.jsonl and the images beside it"
    if not names:
        raise DataError(f"there is no culture below {root}; {form}.")
    raise DataError(
        f"no culture {culture!r} below {root}{did_you_mean(culture.lower(), names, ';')} "
        f"There are: {', '.join(names)}. For another one, {form}."
    )


def _repeated(rows: Iterable[MetadataRow]) -> Iterator[str]:
    first: dict[Path, str] = {}
    for row in rows:
        if row.images and not row.faults:
            image = row.images[0].resolve()
            if image in first:
                name = row.values["file_name"]
                yield f"{row.where}: `file_name` {name!r} is that of {first[image]}; remove one of the two."
            first.setdefault(image, row.where)


def _decode(rows: Sequence[MetadataRow]) -> Iterator[str]:
    """Decode every image once; fill each row's `files`; tell each unusable image once, where it comes first."""
    sound = [row for row in rows if not row.faults]
    first = {image: row.where for row in reversed(sound) for image in row.images}
    inspected = inspect_images(image for row in sound for image in row.images)
    for image, what in inspected.items():
        if isinstance(what, str):
            yield f"{first[image]}: {image} {what}"
    for row in sound:
        files = [inspected[image] for image in row.images]
        row.files = [what for what in files if not isinstance(what, str)]


def _digest(rows: Iterable[MetadataRow]) -> str:
    """16 hex digits of a SHA-256 over the rows in order and the bytes of their images."""
    total = hashlib.sha256()
    for row in rows:
        parts = [row.split, row.values, [file.sha256 for file in row.files]]
        total.update(json.dumps(parts, sort_keys=True).encode() + b"\n")
    return total.hexdigest()[:16]
