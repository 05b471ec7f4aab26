"""Atomic, durable writes: temporary file, fsync, rename, fsync of the folder. A crash leaves the old or new file."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

STALE_PAUSES = (0.1, 1.0, 5.0)
"""Seconds before each retry after a stale file handle of a network file system."""
OWNER_ONLY = 0o600

T = TypeVar("T")


@contextlib.contextmanager
def replace(path: Path, mode: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; the file that the block writes there replaces `path` in one step.

    Without a `mode` it follows the umask, whatever the writer chose. If the block raises, nothing changes.
    """
    _make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask() if mode is None else mode)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def create_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `folder` that becomes it in one step, complete or not at all.

    If another process has made the same folder meanwhile, that one stays.
    """
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}.tmp")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        try:
            temporary.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
        fsync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def retry_stale_handle(work: Callable[[], T]) -> T:
    """Return the result of `work`; retry it a few times if it fails with a stale file handle."""
    for pause in STALE_PAUSES:
        try:
            return work()
        except OSError as error:
            if error.errno != errno.ESTALE:
                raise
            time.sleep(pause)
    return work()


def write_bytes(path: Path, content: bytes) -> None:
    def write() -> None:
        with replace(path) as temporary:
            temporary.write_bytes(content)

    retry_stale_handle(write)


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, as is the temporary file."""
    with replace(path, OWNER_ONLY) as temporary:
        temporary.touch(OWNER_ONLY)
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    write_bytes(path, content.encode())


def write_json(path: Path, content: Any) -> None:
    """Strict JSON: NaN is refused, since no other reader would take it."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode(errors="backslashreplace"))  # a lone surrogate, of a path, is escaped


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """Make the folder and its missing parents, each name durable."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        fsync_folder(path.parent)
    folder.mkdir(exist_ok=True)  # raises if it is not a folder


def _umask() -> int:
    """The process's umask, read from the kernel: `os.umask` can only read it by changing it."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    current = os.umask(0o022)
    os.umask(current)
    return current
