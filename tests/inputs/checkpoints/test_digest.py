"""A digest follows content, and a large file is read once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from scoft_hpc.inputs.checkpoints import digest as module
from scoft_hpc.inputs.checkpoints.digest import HASH_CACHE_MIN_BYTES, digest

HOUR_AGO = 10**9 * 1_700_000_000


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A large file of an hour ago and a small one, and a cache folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "net"
    root.mkdir()
    (root / "large").write_bytes(bytes(HASH_CACHE_MIN_BYTES))
    os.utime(root / "large", ns=(HOUR_AGO, HOUR_AGO))
    (root / "small").write_text("{}")
    return root


def _memory(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "scoft-hpc" / "digests.json"


def test_it_is_of_names_and_bytes(root: Path) -> None:
    first = digest(root, ["large", "small"])
    assert len(first) == 16
    assert digest(root, ["small", "large"]) == first
    assert digest(root, ["small"]) != first
    (root / "small").write_text("[]")
    assert digest(root, ["large", "small"]) != first
    (root / "small").rename(root / "other")
    (root / "other").write_text("{}")
    assert digest(root, ["large", "other"]) != first


def test_a_large_file_is_read_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = module.hashlib.file_digest

    def counted(file, name):
        read.append(Path(file.name).name)
        return real(file, name)

    monkeypatch.setattr(module.hashlib, "file_digest", counted)
    first = digest(root, ["large", "small"])
    assert digest(root, ["large", "small"]) == first
    assert sorted(read) == ["large", "small", "small"]
    changed = bytearray(HASH_CACHE_MIN_BYTES)
    changed[7] = 1
    (root / "large").write_bytes(changed)  # as long as before
    assert digest(root, ["large", "small"]) != first
    assert next(iter(json.loads(_memory(tmp_path).read_text()))).startswith(str(root / "large"))


def test_what_is_gone_is_forgotten(root: Path, tmp_path: Path) -> None:
    digest(root, ["large"])
    (root / "large").rename(root / "moved")
    digest(root, ["moved"])
    (entry,) = json.loads(_memory(tmp_path).read_text())
    assert entry.startswith(str(root / "moved"))


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', "\x00"])
def test_a_memory_that_cannot_be_read_is_no_error(root: Path, tmp_path: Path, content: str) -> None:
    first = digest(root, ["large"])
    _memory(tmp_path).write_text(content)
    assert digest(root, ["large"]) == first


def test_a_memory_that_cannot_be_written_is_no_error(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    first = digest(root, ["large"])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert digest(root, ["large"]) == first
