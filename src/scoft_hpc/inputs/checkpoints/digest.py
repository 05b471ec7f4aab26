"""A digest of weights by content. Hashes of large files are cached, so that planning twice reads them once."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from scoft_hpc.study import atomic
from scoft_hpc.study.json_files import read_json

HASH_CACHE_MIN_BYTES = 1 << 20
"""Bytes from which on a file's hash is cached; smaller ones are read each time."""

MIN_AGE_NS = 2 * 10**9
"""Nanoseconds: a file changed this recently may change again within one tick of its clock, and is not cached."""


def digest(root: Path, names: Iterable[str]) -> str:
    """16 hex digits of a SHA-256 over the names, and bytes, of files below `root`; their order does not matter.

    Raises:
        OSError: if a file cannot be read.
    """
    cached = _read()
    before = dict(cached)
    total = hashlib.sha256()
    for name in sorted(names):
        total.update(f"{name}\0{_hash(root / name, cached)}\n".encode())
    if cached != before:
        _write(cached)
    return total.hexdigest()[:16]


def _hash(path: Path, cached: dict[str, str]) -> str:
    """The file's SHA-256: from `cached` where the file has not changed since, else read and put there."""
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
    if key in cached:
        return cached[key]
    with path.open("rb") as file:
        value = hashlib.file_digest(file, "sha256").hexdigest()
    if stat.st_size >= HASH_CACHE_MIN_BYTES and time.time_ns() - stat.st_mtime_ns > MIN_AGE_NS:
        cached[key] = value
    return value


def _cache_file() -> Path:
    """Where hashes are cached: in the user's cache folder."""
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(user).expanduser() / "scoft-hpc" / "digests.json"


def _read() -> dict[str, str]:
    """What is cached; nothing where that cannot be read."""
    try:
        content = read_json(_cache_file())
    except RuntimeError:  # there is no home folder
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str)}


def _write(cached: dict[str, str]) -> None:
    """Keep what is about files that are still there. Where that cannot be written, nothing is cached."""
    try:
        existing = {key: value for key, value in cached.items() if Path(key.rsplit("|", 3)[0]).exists()}
        atomic.write_json(_cache_file(), existing)
    except (OSError, RuntimeError):
        return
