"""Culture folders built from a table of captioned URLs: the images downloaded, the rows written beside them.

    <root>/<culture>/train/images/<category>-<id>.jpg    a whole image that can be decoded, or absent
    <root>/<culture>/train/metadata.jsonl                written at the end; rows that are in it stay as they are
    <root>/download-failures.csv                         id, culture, url and reason of each failed download
    <root>/.download/                                    the hashes of what has been downloaded

A kill at any moment costs the images in flight: the same command continues with those that are missing.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx

from scoft_hpc.config.command_configs import Download
from scoft_hpc.errors import DataError, RunError
from scoft_hpc.inputs import image_check
from scoft_hpc.inputs.download import ccub_csv
from scoft_hpc.inputs.download.ccub_csv import Failure, ImageRow
from scoft_hpc.inputs.download.http import HEADERS, FetchedImage, fetch_image
from scoft_hpc.inputs.metadata_rows import METADATA, read_lines
from scoft_hpc.inputs.request_queue import BACKOFF_SECONDS, send_all
from scoft_hpc.study import atomic
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.study.json_files import read_json_lines
from scoft_hpc.study.periodic import hold

log = logging.getLogger(__name__)

FOLDER = ".download"
PER_HOST = 2
"""Requests to one host at a time."""
LOG_EVERY = 25
"""Images between two lines of progress in the log."""
UNKNOWN = "unknown; see the page that the url belongs to"
"""The licence of an image whose table names none."""


@dataclass(frozen=True)
class DownloadResult:
    """The result of a download.

    Attributes:
        rows: of each culture's metadata.jsonl, by its name.
        failed: a sentence per image that could not be downloaded.
        fetched, n_existing: images downloaded by this call, and those that existed before.
        failures: the list of the failed; None if there are none.
    """

    rows: dict[str, int]
    failed: list[str]
    fetched: int
    n_existing: int
    failures: Path | None


def fetch(
    csv: Path,
    root: Path,
    settings: Download,
    cultures: Sequence[str] | None,
    stop: StopFlag,
    backoff_seconds: float = BACKOFF_SECONDS,
) -> DownloadResult:
    """Build the folders below `root` of the table's cultures, or of the named ones, as far as they are missing.

    Raises:
        DataError: for a table or a folder that cannot be used, and if a culture ends without any image.
        Interrupted: if `stop` was requested; the same call continues.
    """
    root = root.expanduser().absolute()
    entries, failures = ccub_csv.read(csv)
    names = _names(entries, failures, cultures)
    entries = [entry for entry in entries if entry.culture in names]
    failures = [failure for failure in failures if failure.culture in names or not failure.culture]
    rows = {name: _read(root / name) for name in names}
    try:
        with hold(root / FOLDER / "lease.json"):
            done = _DownloadLog(root)
            files = {entry: name for entry in entries if (name := done.existing(entry))}
            n_existing = len(files)
            failures += _fetch(entries, files, done, settings, stop, backoff_seconds)
            for name in names:
                rows_of_culture = [entry for entry in entries if entry.culture == name]
                rows[name] = _write(root / name, rows_of_culture, files, rows[name])
            listed = _list(root / "download-failures.csv", failures)
    except RunError as error:
        raise DataError(f"images cannot be fetched into {root} now: {error}") from None
    except OSError as error:
        raise DataError(
            f"{error.filename or root} cannot be written or read: {error.strerror or error}. Free some space or choose "
            f"another data.root; what has been fetched stays."
        ) from None
    _refuse_empty(rows, failures, listed)
    counts = {name: len(rows[name]) for name in names}
    return DownloadResult(
        counts, [str(failure) for failure in failures], len(files) - n_existing, n_existing, listed
    )


def _fetch(
    entries: Sequence[ImageRow],
    files: dict[ImageRow, str],
    done: _DownloadLog,
    settings: Download,
    stop: StopFlag,
    backoff_seconds: float,
) -> list[Failure]:
    """Download what `files` lacks, each URL once; add each image's name to it as it arrives, return the failures."""
    missing = [entry for entry in entries if entry not in files]
    by_url: dict[str, list[ImageRow]] = {}
    for entry in missing:
        by_url.setdefault(entry.url, []).append(entry)
    log.info("%d images to fetch, %d are there", len(by_url), len(files))
    reasons: dict[ImageRow, str] = {}
    with httpx.Client(headers=HEADERS, timeout=settings.seconds) as client:
        results = send_all(
            {url: url for url in by_url},
            lambda url: fetch_image(client, url, settings, stop),
            stop,
            jobs=settings.jobs,
            per_host=PER_HOST,
            max_attempts=settings.tries,
            backoff_seconds=backoff_seconds,
        )
        for number, (url, result) in enumerate(results, start=1):
            if isinstance(result, FetchedImage):
                files |= {entry: done.publish(entry, result) for entry in by_url[url]}
            else:
                log.info("%s: %s", url, result.reason)
                reasons |= dict.fromkeys(by_url[url], result.reason)
            if number % LOG_EVERY == 0:
                log.info("%d of %d images", number, len(by_url))
    return [Failure(e.id, e.culture, e.url, reasons[e]) for e in missing if e in reasons]


class _DownloadLog:
    """What has been fetched: a line an image, in the file once `publish` returns."""

    KEYS = ("culture", "id", "url", "file_name", "sha256")

    def __init__(self, root: Path) -> None:
        self.root, self.path = root, root / FOLDER / "done.jsonl"
        self.known: dict[tuple[str, str], dict[str, str]] = {}
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        for _, _, row in read_json_lines(lines):
            if row and row.keys() >= set(self.KEYS):  # else a kill tore the line
                self.known[row["culture"], row["id"]] = row
        atomic.write_text(self.path, "".join(json.dumps(row) + "\n" for row in self.known.values()))

    def existing(self, entry: ImageRow) -> str | None:
        """The image's `file_name` if it is there; one that a person has changed since counts too, if it is sound."""
        row = self.known.get((entry.culture, entry.id))
        if row is None or row["url"] != entry.url:
            return None
        path = self.root / entry.culture / "train" / row["file_name"]
        if not path.is_file():
            return None
        if hashlib.sha256(path.read_bytes()).hexdigest() != row["sha256"]:
            if isinstance(image_check.inspect_image(path), str):
                return None
            log.warning("%s is no longer what was fetched; kept. To fetch it again, remove it.", path)
        return row["file_name"]

    def publish(self, entry: ImageRow, image: FetchedImage) -> str:
        """Write the image in one step, and return its `file_name`."""
        name = f"images/{entry.stem}.{image.extension}"
        atomic.write_bytes(self.root / entry.culture / "train" / name, image.content)
        values = (entry.culture, entry.id, entry.url, name, image.sha256)
        with self.path.open("a") as file:
            file.write(json.dumps(dict(zip(self.KEYS, values, strict=True))) + "\n")
            file.flush()
            os.fsync(file.fileno())
        return name


def _read(folder: Path) -> list[dict[str, Any]]:
    """The rows that the culture has."""
    path = folder / "train" / METADATA
    rows = []
    for number, _, row in read_json_lines(read_lines(folder, "train") if path.exists() else []):
        if row is None:
            raise DataError(
                f"{path}, row {number}: not a JSON object; fix the row, or move the file away to start again."
            )
        rows.append(row)
    return rows


def _write(
    folder: Path, entries: Sequence[ImageRow], files: Mapping[ImageRow, str], old: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Write the culture's rows, in the table's order, then those of which it knows nothing; return them.

    An existing row keeps its values; the table adds what it lacks, and the path of its image.
    """
    by_id = {str(row["id"]): row for row in old if "id" in row}
    rows = []
    for entry in entries:
        before = by_id.get(entry.id)
        if entry in files:
            row = {"file_name": files[entry], "text": entry.text}
            row |= {"blip_text": entry.blip_text} if entry.blip_text else {}
            row |= {"url": entry.url, "license": entry.license or UNKNOWN}
            row |= {"category": entry.category, "id": entry.id}
            rows.append(row | (before or {}) | {"file_name": files[entry], "url": entry.url})
        elif before is not None:
            rows.append(before)
    listed = {entry.id for entry in entries}
    rows += [row for row in old if str(row.get("id")) not in listed]
    if rows and rows != old:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        atomic.write_bytes(folder / "train" / METADATA, text.encode(errors="backslashreplace"))
    return rows


def _list(path: Path, failures: Sequence[Failure]) -> Path | None:
    """Write who failed and why; without any, no list is left."""
    if not failures:
        path.unlink(missing_ok=True)
        return None
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, ["id", "culture", "url", "reason"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(failure) for failure in failures)
    atomic.write_text(path, text.getvalue())
    return path


def _refuse_empty(
    rows: Mapping[str, Sequence[Any]], failures: Sequence[Failure], listed: Path | None
) -> None:
    faults = []
    for name in (name for name, some in rows.items() if not some):
        reasons = [failure.reason for failure in failures if failure.culture == name]
        faults.append(
            f"{name} has no image: {len(reasons)} rows failed, the first because: {reasons[0]}. "
            f"Fix the table, or request other cultures; {listed} has every reason."
        )
    if faults:
        raise DataError.from_messages(faults)


def _names(
    entries: Sequence[ImageRow], failures: Sequence[Failure], requested: Sequence[str] | None
) -> list[str]:
    known = sorted({e.culture for e in entries} | {f.culture for f in failures if f.culture})
    unknown = sorted(set(requested or ()) - set(known))
    if unknown or not known:
        raise DataError(
            f"the table of data.csv has no row of {', '.join(unknown) or 'any culture'}; "
            f"it has {', '.join(known) or 'none that can be used'}. Its `country_code` names the culture."
        )
    return known if requested is None else sorted(set(requested))
