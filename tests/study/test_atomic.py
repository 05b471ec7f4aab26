"""Writes that a kill at any system call leaves either undone or whole."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scoft_hpc.study import atomic

WRITE = """
import sys
from pathlib import Path
from scoft_hpc.study import atomic
atomic.write_text(Path(sys.argv[1]), "new " * 1000)
"""

DIE = """
import os, pathlib, signal, sys
point, _, nth = sys.argv[2].partition(" ")
left = [int(nth or 1)]
owner = os if point == "fsync" else pathlib.Path
name = {"rename": "replace", "write": "write_bytes"}.get(point, point)
real = getattr(owner, name)
def die(*args, **kwargs):
    left[0] -= 1
    if left[0] == 0:
        if point == "write":
            real(args[0], args[1][:100])  # torn
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
setattr(owner, name, die)
"""
"""Put before a program: SIGKILL at the point that its second word names."""


def _calls(path: Path) -> list[str]:
    """The system calls that touch the file's folder while `path` is written, by the tracer if there is one."""
    command = ["strace", "-f", "-y", "-e", "trace=write,fsync,/^rename", "-E", "PYTHONDONTWRITEBYTECODE=1"]
    traced = subprocess.run(
        [*command, sys.executable, "-c", WRITE, str(path)], capture_output=True, text=True, check=True
    )
    return [line for line in traced.stderr.splitlines() if str(path.parent) in line]


def test_order_of_durability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """write, fsync of the file, rename, fsync of the folder."""
    order: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        order.append(f"fsync {kind} of {os.fstat(descriptor).st_size if kind == 'file' else '-'}")
        fsync(descriptor)

    def noted_replace(self: Path, target: Path) -> Path:
        order.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    atomic.write_bytes(tmp_path / "x", b"four")
    assert order == ["fsync file of 4", "rename", "fsync folder of -"]


@pytest.mark.strace
def test_order_of_system_calls(tmp_path: Path) -> None:
    calls = [re.sub(r"^(\[pid +\d+\] )?", "", line) for line in _calls(tmp_path / "x")]
    names = [call.partition("(")[0] for call in calls]
    ordered = [name for name in names if name in ("write", "fsync", "rename", "renameat", "renameat2")]
    assert ordered == ["write", "fsync", "rename", "fsync"]


@pytest.mark.parametrize(
    ("point", "outcome"),
    [("write", "old"), ("chmod", "old"), ("fsync 1", "old"), ("rename", "old"), ("fsync 2", "new " * 1000)],
)
def test_killed_on_the_way(tmp_path: Path, point: str, outcome: str) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", DIE + WRITE, str(path), point], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == outcome
    atomic.write_text(path, "next")
    assert path.read_text() == "next"


def test_no_room_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic.write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_block_that_raises_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic.replace(path) as temporary:
        temporary.write_text("half")
        _ = 1 / 0
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with atomic.replace(tmp_path / "x") as temporary:
            temporary.touch(0o600)  # as some writers make theirs
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


def test_what_is_private_is_so_from_its_first_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes, write = [], Path.write_bytes

    def write_and_look(path: Path, content: bytes) -> int:
        count = write(path, content)
        modes.append(stat.S_IMODE(path.stat().st_mode))
        return count

    monkeypatch.setattr(Path, "write_bytes", write_and_look)
    atomic.write_private(tmp_path / "secret", b"s")
    assert modes == [0o600]
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret"]


def test_new_folders_are_durable_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    fsync_folder = atomic.fsync_folder
    monkeypatch.setattr(atomic, "fsync_folder", lambda folder: (synced.append(folder), fsync_folder(folder)))
    atomic.write_text(tmp_path / "a" / "b" / "x", "text")
    assert synced == [tmp_path, tmp_path / "a", tmp_path / "a" / "b"]


def test_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file")
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        atomic.write_text(tmp_path / "a" / "x", "text")


def test_json_is_strict(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    for value in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="not JSON compliant"):
            atomic.write_json(path, {"loss": value})
    assert not path.exists()
    atomic.write_json(
        path, {"message": "café \udcff"}
    )  # a file name that is not UTF-8 comes so from the system
    assert json.loads(path.read_bytes()) == {"message": "café \udcff"}
