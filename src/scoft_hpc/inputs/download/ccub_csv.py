"""A public table of captioned image URLs, in the form of CCUB's: one row per image.

The columns are `__id__`, `caption`, `category_code`, `country_code` and `url`; `license` (or `licence`) and `blip_text`
are read where they exist, others are ignored. Names made of the table's text are safe as file names,
whatever it says.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from scoft_hpc.errors import DataError

COLUMNS = ("__id__", "caption", "category_code", "country_code", "url")
CODES = {
    "china": ("cn", "chn"),
    "india": ("in", "ind"),
    "korea": ("kr", "kor", "south-korea", "republic-of-korea"),
    "mexico": ("mx", "mex"),
    "nigeria": ("ng", "nga"),
}
"""CCUB's five countries with their ISO 3166-1 codes; any other slug is a culture of its own name."""
CULTURES = {code: name for name, codes in CODES.items() for code in codes}
MAX_SLUG_CHARS = 60
"""Characters of a name that the table's words are cut to."""


@dataclass(frozen=True)
class ImageRow:
    """A row that can be fetched; `stem` is the image's file name without its ending, unlike any other's."""

    id: str
    culture: str
    category: str
    text: str
    blip_text: str
    url: str
    license: str

    @property
    def stem(self) -> str:
        return f"{_slug(self.category, '_') or 'image'}-{_unique_slug(self.id)}"


@dataclass(frozen=True)
class Failure:
    """A row whose image could not be downloaded, and why."""

    id: str
    culture: str
    url: str
    reason: str

    def __str__(self) -> str:
        return f"{self.culture or 'no culture'}, {self.id or 'no id'}: {self.url[:120]} {self.reason}"


def read(path: Path) -> tuple[list[ImageRow], list[Failure]]:
    """The table's rows in order, and those that no image can be fetched for. What is listed twice counts once.

    Raises:
        DataError: if the file is no such table; the error lists all missing columns.
    """
    entries: dict[tuple[str, str], ImageRow] = {}
    seen: set[tuple[str, str, str]] = set()
    failures: list[Failure] = []
    for number, cells in _rows(path):
        licence = cells.get("license") or cells.get("licence") or ""
        entry = ImageRow(
            id=cells["__id__"],
            culture=culture(cells["country_code"]),
            category=cells["category_code"],
            text=cells["caption"],
            blip_text=cells.get("blip_text", ""),
            url=cells["url"],
            license=licence,
        )
        first = entries.get((entry.culture, entry.id))
        if first == entry or (entry.culture, entry.text, entry.url) in seen:
            continue
        reason = _problem(entry, cells["country_code"])
        if first:
            reason = f"`__id__` {entry.id} is another row's too; give each row its own"
        if reason:
            failures.append(Failure(entry.id, entry.culture, entry.url, f"row {number}: {reason}"))
            continue
        entries[entry.culture, entry.id] = entry
        seen.add((entry.culture, entry.text, entry.url))
    return list(entries.values()), failures


def culture(code: str) -> str:
    """The culture's name, of the letters a-z, digits and hyphens: CCUB's by code or name, else the slug itself."""
    slug = _slug(code, "-").lower()
    return CULTURES.get(slug, slug)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(number, cells by column) of each row that is not empty; white space runs become single spaces."""
    try:
        text = path.expanduser().read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"data.csv={path} cannot be read: {error.strerror}; expected a table as CSV."
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"data.csv={path} is not UTF-8 ({error}); save it as CSV in UTF-8.") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        _check(path, header)
        for number, row in enumerate(reader, start=2):
            cells = [" ".join(cell.split()) for cell in row]
            if any(cells):
                yield number, dict(zip(header, cells + [""] * (len(header) - len(cells)), strict=False))
    except csv.Error as error:
        raise DataError(
            f"data.csv={path}, line {reader.line_num}: {error}; expected commas between the cells, and cells that "
            f'hold commas, quotes or line ends in double quotes ("a ""quoted"" slug").'
        ) from None


def _check(path: Path, header: list[str]) -> None:
    missing = [name for name in COLUMNS if name not in header]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    problems = []
    if missing:
        problems.append(
            f"data.csv={path} has no column {', '.join(missing)}; its first line is {','.join(header)[:200]!r}; "
            f"expected the columns {', '.join(COLUMNS)}, with commas between them."
        )
    if twice:
        problems.append(f"data.csv={path} has the column {', '.join(twice)} twice; remove one of each.")
    if problems:
        raise DataError.from_messages(problems)


def _problem(entry: ImageRow, code: str) -> str | None:
    if not entry.id:
        return "`__id__` is empty"
    if not entry.culture:
        return f"`country_code` is {code!r}; expected a code or a name with letters of a-z"
    if not entry.text:
        return "`caption` is empty"
    try:
        parts = urlsplit(entry.url)
        scheme, host = parts.scheme.lower(), parts.hostname
    except ValueError as error:
        return f"`url` is none ({error})"
    if scheme not in ("http", "https") or not host:
        return f"`url` is {entry.url[:80]!r}; expected one that begins with http:// or https://"
    return None


def _slug(text: str, joint: str) -> str:
    """The text's ASCII letters and digits; whatever stands between them becomes one joint."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", joint, plain).strip(joint)[:MAX_SLUG_CHARS].rstrip(joint)


def _unique_slug(text: str) -> str:
    """The text as a slug; where that says less than the text, a bit of its hash keeps it apart from others."""
    slug = _slug(text, "_")
    return slug if slug == text else f"{slug or 'id'}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
