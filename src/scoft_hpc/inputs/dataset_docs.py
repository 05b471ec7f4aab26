"""What tells others about a culture: manifest.json (every image with its hash), a Hugging Face dataset card and a
Croissant description (MLCommons, version 1.0).

The same rows give the same bytes. Each document carries a checksum stamp, the hash of its own text. Only a document
whose stamp matches, which nobody has edited, is ever replaced.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from scoft_hpc.inputs.metadata_rows import WRITER, MetadataRow
from scoft_hpc.study import atomic
from scoft_hpc.study.digests import text_digest
from scoft_hpc.text import listing

SCHEMA = 1
MANIFEST, CARD, CROISSANT = "manifest.json", "README.md", "croissant.json"
CHECKSUM = re.compile(r"written by scoft_hpc\.prepare, checksum ([0-9a-f]{16})")
BLANK_CHECKSUM = f"written by scoft_hpc.prepare, checksum {'0' * 16}"
SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
"""The Hub's words for the number of rows."""
MAX_SHOWN = 5
"""Files that a message names for each kind of change; the rest is counted."""

NOT_OVERWRITTEN = "was edited by hand; not overwritten. Delete it to have it written again."

ManifestEntry = dict[str, Any]


@dataclass(frozen=True)
class WrittenDocuments:
    """`files` are up to date; `notes` say what changed since they were last written, and what was not overwritten."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]


def write(folder: Path, rows: Sequence[MetadataRow], digest: str) -> WrittenDocuments:
    """Write the culture's documents, each atomically, where they are not already as they should be.

    A file that was edited by hand is not overwritten, and is reported.
    """
    culture, entries = folder.name, [_entry(row) for row in rows]
    content = {
        "checksum": BLANK_CHECKSUM,
        "schema": SCHEMA,
        "culture": culture,
        "digest": digest,
        "rows": entries,
    }
    manifest = with_checksum(_json(content))
    files = [glob.escape(entry["file"]) for entry in entries]
    texts = {
        MANIFEST: manifest,
        CARD: with_checksum(_card(culture, entries, digest)),
        CROISSANT: with_checksum(_croissant(culture, manifest, files)),
    }
    notes = list(_changes(folder / MANIFEST, entries))
    edited = [name for name, text in texts.items() if _was_edited(folder / name, text)]
    notes += [f"{folder / name} {NOT_OVERWRITTEN}" for name in edited]
    if MANIFEST in edited:
        edited.append(CROISSANT)  # it holds the hash of a manifest.json that was not written
    written = [name for name in texts if name not in edited]
    for name in written:
        if _read(folder / name) != texts[name]:
            atomic.write_text(folder / name, texts[name])
    return WrittenDocuments(tuple(folder / name for name in written), tuple(notes))


def with_checksum(text: str) -> str:
    """The text with its own hash in place of its blank checksum stamp."""
    return text.replace(BLANK_CHECKSUM, BLANK_CHECKSUM.replace("0" * 16, text_digest(text)), 1)


def is_unmodified(text: str) -> bool:
    """Whether the text is exactly one that `with_checksum` returned."""
    return (
        CHECKSUM.search(text) is not None
        and with_checksum(CHECKSUM.sub(BLANK_CHECKSUM, text, count=1)) == text
    )


def _was_edited(path: Path, text: str) -> bool:
    current = _read(path)
    return current is not None and current != text and not is_unmodified(current)


def _entry(row: MetadataRow) -> ManifestEntry:
    """A row for manifest.json; paths are relative to the culture's folder."""
    names = [f"{row.split}/{row.values['file_name']}", *row.values["negative_imgpath"]]
    image, *negatives = (
        {"file": os.path.normpath(name)} | asdict(file) for name, file in zip(names, row.files, strict=True)
    )
    return image | {
        "split": row.split,
        "caption": row.values["text"],
        "generic_caption": row.values["blip_text"],
        "generic_caption_by": _text(row.others.get(WRITER)) or "given",
        "category": _text(row.others.get("category")),
        "license": _text(row.others.get("license")),
        "url": _text(row.others.get("url")),
        "negatives": negatives,
    }


def _text(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def _card(culture: str, entries: Sequence[ManifestEntry], digest: str) -> str:
    """The dataset card as Markdown with the Hub's YAML on top."""
    splits = Counter(entry["split"] for entry in entries)
    front = {
        "pretty_name": f"{culture} (captioned images of a community)",
        "license": "other",
        "license_name": "per-image",
        "license_link": MANIFEST,
        "task_categories": ["text-to-image"],
        "tags": ["scoft", "text-to-image", "croissant"],
        "size_categories": [next((category for most, category in SIZES if len(entries) < most), "100K<n<1M")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"{split}/**"} for split in splits],
            }
        ],
    }
    text = _render(
        "dataset_card.md.j2",
        culture,
        digest=digest,
        splits=splits,
        licences=Counter(str(entry["license"] or "not stated") for entry in entries).most_common(),
        sources=sum(bool(entry["url"]) for entry in entries),
        writers=Counter(str(entry["generic_caption_by"]) for entry in entries).most_common(),
        negatives=sum(len(entry["negatives"]) for entry in entries),
    )
    return _whole(f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n{text}\n")


def _croissant(culture: str, manifest: str, images: Sequence[str]) -> str:
    """The Croissant description, whose records stand in manifest.json with the text `manifest`.

    Args:
        images: glob patterns of the image files, relative to the culture's folder.
    """
    manifest_sha256 = hashlib.sha256(manifest.encode()).hexdigest()
    return _json(
        json.loads(_render("croissant.json.j2", culture, manifest_sha256=manifest_sha256, images=images))
    )


def _render(template: str, culture: str, **values: Any) -> str:
    environment = Environment(
        loader=PackageLoader("scoft_hpc.inputs", ""),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["cell"] = _cell
    return environment.get_template(template).render(blank=BLANK_CHECKSUM, culture=culture, **values)


def _cell(value: str) -> str:
    """Words of a row as Markdown that means nothing but them."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(value.split()))


def _changes(path: Path, entries: Sequence[ManifestEntry]) -> Iterator[str]:
    """What differs from the manifest.json that was written before, as sentences."""
    former = _former(path)
    if former is None:
        return
    now = {entry["file"]: entry for entry in entries}
    kinds = {
        "images that are new": [name for name in now if name not in former],
        "images that are gone": [name for name in former if name not in now],
        "images that differ": _differing(former, now, "sha256"),
        "rows whose caption differs": _differing(former, now, "caption"),
        "rows whose generic caption differs": _differing(former, now, "generic_caption"),
        "rows whose negatives differ": _differing(former, now, "negatives"),
    }
    for kind, names in kinds.items():
        if names:
            yield f"since {path} was last written, {kind}: {listing(names, MAX_SHOWN)}"


def _former(path: Path) -> dict[str, ManifestEntry] | None:
    text = _read(path)
    if text is None or not is_unmodified(text):
        return None
    return {entry["file"]: entry for entry in json.loads(text)["rows"]}


def _differing(former: Mapping[str, ManifestEntry], now: Mapping[str, ManifestEntry], key: str) -> list[str]:
    return [name for name in now if name in former and former[name].get(key) != now[name][key]]


def _read(path: Path) -> str | None:
    """The file's text; None if there is none, and unlike any of ours if it is no text."""
    try:
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None


def _json(content: Mapping[str, Any]) -> str:
    return _whole(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def _whole(text: str) -> str:
    """The text in whole characters: half a one (a lone surrogate) becomes its escape."""
    return text.encode(errors="backslashreplace").decode()
