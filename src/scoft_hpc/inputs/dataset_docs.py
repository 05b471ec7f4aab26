"""What tells others about a culture: manifest.json (every image with its hash), a Hugging Face dataset card and a
Croissant description (MLCommons, version 1.0).

The same rows give the same bytes. Each document carries a seal, the hash of its own text, by which one that nobody has
touched is known: only such a one is ever replaced.
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
from jinja2 import Environment, StrictUndefined

from scoft_hpc.inputs.croissant import croissant
from scoft_hpc.inputs.metadata_rows import WRITER, Row
from scoft_hpc.study import atomic
from scoft_hpc.text import listing

SCHEMA = 1
MANIFEST, CARD, CROISSANT = "manifest.json", "README.md", "croissant.json"
TEMPLATE = Path(__file__).with_name("dataset_card.md.j2")
SEAL = re.compile(r"written by scoft_hpc\.prepare, seal ([0-9a-f]{16})")
BLANK = f"written by scoft_hpc.prepare, seal {'0' * 16}"
SIZES = ((1000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
"""The Hub's words for the number of rows."""
SHOWN = 5
"""So many files of a kind of change are named; the rest is counted."""

LEFT = "was written or edited by another hand and is left as it is; to have it written anew, move it away."

Entry = dict[str, Any]


@dataclass(frozen=True)
class Written:
    """`files` are as they should be now; `notes` tell what changed since they were last written, and what was left."""

    files: tuple[Path, ...]
    notes: tuple[str, ...]


def write(folder: Path, rows: Sequence[Row], digest: str) -> Written:
    """Write the culture's documents, each atomically, where they are not already as they should be.

    A file that was written or edited by another hand is left as it is, and told.
    """
    culture, entries = folder.name, [_entry(row) for row in rows]
    manifest = sealed(_json(_manifest(culture, entries, digest)))
    files = [glob.escape(entry["file"]) for entry in entries]
    texts = {
        MANIFEST: manifest,
        CARD: sealed(_card(culture, entries, digest)),
        CROISSANT: sealed(_json(croissant(culture, BLANK, manifest, files))),
    }
    notes = list(_changes(folder / MANIFEST, entries))
    left = [name for name, text in texts.items() if _is_theirs(folder / name, text)]
    notes += [f"{folder / name} {LEFT}" for name in left]
    if MANIFEST in left:
        left.append(CROISSANT)  # it tells the hash of a manifest.json that is not there
    written = [name for name in texts if name not in left]
    for name in written:
        if _read(folder / name) != texts[name]:
            atomic.write_text(folder / name, texts[name])
    return Written(tuple(folder / name for name in written), tuple(notes))


def sealed(text: str) -> str:
    """The text with the hash of itself in the place of its blank seal."""
    value = hashlib.sha256(text.encode()).hexdigest()[:16]
    return text.replace(BLANK, BLANK.replace("0" * 16, value), 1)


def is_ours(text: str) -> bool:
    """Whether the text is one that `sealed` returned, to the letter."""
    return SEAL.search(text) is not None and sealed(SEAL.sub(BLANK, text, count=1)) == text


def _is_theirs(path: Path, text: str) -> bool:
    found = _read(path)
    return found is not None and found != text and not is_ours(found)


def _entry(row: Row) -> Entry:
    """A row for manifest.json; paths are relative to the culture's folder."""
    names = [f"{row.split}/{row.values['file_name']}", *row.values["negative_imgpath"]]
    image, *negatives = (
        {"file": os.path.normpath(name)} | asdict(file) for name, file in zip(names, row.files, strict=True)
    )
    return image | {
        "split": row.split,
        "caption": row.values["text"],
        "generic_caption": row.values["blip_text"],
        "generic_caption_by": _word(row.others.get(WRITER)) or "given",
        "category": _word(row.others.get("category")),
        "license": _word(row.others.get("license")),
        "url": _word(row.others.get("url")),
        "negatives": negatives,
    }


def _word(value: Any) -> str | None:
    return None if value in (None, "") else str(value)


def _manifest(culture: str, entries: Sequence[Entry], digest: str) -> dict[str, Any]:
    return {"seal": BLANK, "schema": SCHEMA, "culture": culture, "digest": digest, "rows": list(entries)}


def _card(culture: str, entries: Sequence[Entry], digest: str) -> str:
    """The dataset card as Markdown with the Hub's YAML on top."""
    splits = Counter(entry["split"] for entry in entries)
    front = {
        "pretty_name": f"{culture} (captioned images of a community)",
        "license": "other",
        "license_name": "per-image",
        "license_link": MANIFEST,
        "task_categories": ["text-to-image"],
        "tags": ["scoft", "text-to-image", "croissant"],
        "size_categories": [next((word for most, word in SIZES if len(entries) < most), "100K<n<1M")],
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": split, "path": f"{split}/**"} for split in splits],
            }
        ],
    }
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.filters["cell"] = _cell
    text = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        blank=BLANK,
        culture=culture,
        digest=digest,
        splits=splits,
        licences=Counter(str(entry["license"] or "not stated") for entry in entries).most_common(),
        sources=sum(bool(entry["url"]) for entry in entries),
        writers=Counter(str(entry["generic_caption_by"]) for entry in entries).most_common(),
        negatives=sum(len(entry["negatives"]) for entry in entries),
    )
    return _whole(f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True)}---\n{text}\n")


def _cell(value: str) -> str:
    """Words of a row as Markdown that means nothing but them."""
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", " ".join(value.split()))


def _changes(path: Path, entries: Sequence[Entry]) -> Iterator[str]:
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
            yield f"since {path} was last written, {kind}: {listing(names, SHOWN)}"


def _former(path: Path) -> dict[str, Entry] | None:
    text = _read(path)
    if text is None or not is_ours(text):
        return None
    return {entry["file"]: entry for entry in json.loads(text)["rows"]}


def _differing(former: Mapping[str, Entry], now: Mapping[str, Entry], key: str) -> list[str]:
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
