"""A digest of weights by content. Hashes of large files are remembered, so that planning twice reads them once."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path

from scoft_hpc.study import atomic
from scoft_hpc.study.json_files import read_json

REMEMBERED = 1 << 20
"""Bytes from which on a file's hash is remembered; smaller ones are read each time."""

SETTLED = 2 * 10**9
"""Nanoseconds: a file changed this recently may change again within one tick of its clock, and is not remembered."""


def digest(root: Path, names: Iterable[str]) -> str:
    """16 hex digits of a SHA-256 over the names, and bytes, of files below `root`; their order does not matter.

    Raises:
        OSError: if a file cannot be read.
    """
    remembered = _read()
    before = dict(remembered)
    total = hashlib.sha256()
    for name in sorted(names):
        total.update(f"{name}\0{_hash(root / name, remembered)}\n".encode())
    if remembered != before:
        _write(remembered)
    return total.hexdigest()[:16]


def _hash(path: Path, remembered: dict[str, str]) -> str:
    """The file's SHA-256: from `remembered` where the file has not changed since, else read and put there."""
    stat = path.stat()
    key = f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}|{stat.st_ino}"
    if key in remembered:
        return remembered[key]
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if stat.st_size >= REMEMBERED and time.time_ns() - stat.st_mtime_ns > SETTLED:
        remembered[key] = found
    return found


def _memory() -> Path:
    """Where hashes are remembered: in the user's cache folder."""
    user = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(user).expanduser() / "scoft-hpc" / "digests.json"


def _read() -> dict[str, str]:
    """What is remembered; nothing where that cannot be read."""
    try:
        content = read_json(_memory())
    except RuntimeError:  # there is no home folder
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str)}


def _write(remembered: dict[str, str]) -> None:
    """Keep what is about files that are still there. Where that cannot be written, nothing is remembered."""
    try:
        kept = {key: value for key, value in remembered.items() if Path(key.rsplit("|", 3)[0]).exists()}
        atomic.write_json(_memory(), kept)
    except (OSError, RuntimeError):
        return
