"""The rows of a metadata.jsonl, parsed and checked one by one; the images that they name are not opened yet."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scoft_hpc.errors import DataError
from scoft_hpc.inputs.image_check import FORMATS, ImageFile

METADATA = "metadata.jsonl"
WRITER = "blip_source"
"""The key of a row that says which captioner wrote its `blip_text`."""
BOM = b"\xef\xbb\xbf"


@dataclass
class MetadataRow:
    """One line of a metadata.jsonl.

    Attributes:
        where: the file and the line's number, for messages; index: of the line in the file, from 0.
        values: `file_name`, `text`, `blip_text` (None where it is missing) and `negative_imgpath`; empty if at fault.
        others: the row's other keys, such as `license`, `url` and `category`.
        uncaptioned: why there is no generic caption; None if there is one.
        images: the image and its negatives; files: the same, once they have been examined.
    """

    where: str
    split: str
    index: int
    values: dict[str, Any] = field(default_factory=dict)
    others: dict[str, Any] = field(default_factory=dict)
    uncaptioned: str | None = None
    images: list[Path] = field(default_factory=list)
    files: list[ImageFile] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def read_rows(folder: Path, split: str) -> list[MetadataRow]:
    """The rows of `<folder>/<split>/metadata.jsonl`, each with its faults; none where a test/ has no such file.

    Raises:
        DataError: if the file cannot be read, or is a link out of the folder.
    """
    path = folder / split / METADATA
    if split == "test" and not path.exists():
        return []
    return [
        _row(folder, split, f"{path}, row {index + 1}", index, line)
        for index, line in enumerate(read_lines(folder, split))
        if line.strip()
    ]


def read_lines(folder: Path, split: str) -> list[bytes]:
    """The lines of the file, without their ends and the byte order mark.

    Raises:
        DataError: if the file cannot be read, or is a link out of the folder.
    """
    path = folder / split / METADATA
    if not path.resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{path} leads out of {folder}; put the file itself there.")
    try:
        return path.read_bytes().removeprefix(BOM).split(b"\n")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None


def _row(folder: Path, split: str, where: str, index: int, line: bytes) -> MetadataRow:
    row = MetadataRow(where, split, index)
    try:
        values = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        row.faults.append(f"{where}: not JSON in UTF-8 ({error}); expected one JSON object a line.")
        return row
    if not isinstance(values, dict):
        row.faults.append(f'{where}: {short(values)} is not a JSON object; expected {{"file_name": …}}.')
        return row
    blip = values.get("blip_text")
    wanted: dict[str, Any] = {
        "file_name": values.get("file_name"),
        "text": values.get("text"),
        "blip_text": blip[0] if isinstance(blip, list) and blip else blip,
    }
    for key, value in wanted.items():
        fault = _text_fault(key, value)
        if key == "blip_text" and _is_empty(value):
            row.uncaptioned, wanted[key] = fault, None
        elif fault:
            row.faults.append(f"{where}: {fault}")
    negatives = values.get("negative_imgpath")
    if negatives is None:
        negatives = []
    if not isinstance(negatives, list) or not all(isinstance(name, str) for name in negatives):
        row.faults.append(
            f"{where}: `negative_imgpath` is {short(negatives)}; "
            f"expected a list of paths relative to {folder}, or []."
        )
    if row.faults:
        return row
    row.values = {key: value and value.strip() for key, value in wanted.items()}
    row.values["negative_imgpath"] = negatives
    row.others = {key: value for key, value in values.items() if key not in row.values}
    names = [(folder / split, "file_name", wanted["file_name"])]
    names += [(folder, "negative_imgpath", name) for name in negatives]
    for start, key, name in names:
        path, fault = resolve_inside(folder, start, name)
        row.images.append(path)
        if fault:
            row.faults.append(f"{where}: `{key}` {fault}")
    return row


def require_captions(rows: list[MetadataRow], remedy: str) -> None:
    """Make what lacks a generic caption a fault, of the first such row; `remedy` writes them."""
    bare = [row for row in rows if row.uncaptioned]
    if bare:
        more = f" So it is in {len(bare) - 1} more rows." if len(bare) > 1 else ""
        bare[0].faults.append(f"{bare[0].where}: {bare[0].uncaptioned}{more} To have it written: {remedy}")


def short(value: Any) -> str:
    """A value for a message: its beginning, if it is long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _is_empty(value: Any) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not value.strip())


def _text_fault(key: str, value: Any) -> str | None:
    if isinstance(value, str) and value.strip():
        try:
            value.encode()
        except UnicodeEncodeError:
            return f"`{key}` contains a lone surrogate: {value!r}; write the text again."
        return None
    actual = "missing" if value is None else "empty" if _is_empty(value) else short(value)
    expected = "the image's path" if key == "file_name" else "a caption that is not empty"
    return f"`{key}` is {actual}; expected {expected}."


def resolve_inside(folder: Path, start: Path, name: str) -> tuple[Path, str | None]:
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
        return path, f"{short(name)} cannot be used: {getattr(error, 'strerror', None) or error}."
    return path, None
