"""Checkpoints: one safetensors file a save, with the hash of its own tensors, so a torn one is never loaded."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from scoft_hpc.study import atomic

KEPT = 2
"""How many checkpoints stay: the newest, and one to fall back on."""


class Checkpoint(NamedTuple):
    """What a checkpoint holds: updates done, tensors by name, and words by name."""

    step: int
    tensors: dict[str, Tensor]
    words: dict[str, str]


def write(folder: Path, step: int, tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> Path:
    """Save durably; older checkpoints go only after the new one has been read back and verified.

    Raises:
        OSError: no space, say, with what is needed and what is free; what was saved before is untouched.
    """
    path = folder / f"step-{step:08d}.safetensors"
    content = {name: value.cpu().contiguous() for name, value in tensors.items()}
    words = {**words, "step": str(step), "sha256": _digest(content)}
    try:
        atomic.retry_stale_handle(lambda: _save(path, content, words))
    except OSError as error:
        need = sum(value.nbytes for value in content.values())
        told = f"{path} cannot be saved: {error.strerror or error}; {_room(folder, need)}"
        raise OSError(error.errno, told) from error
    if read(path) is None:
        raise OSError(f"{path} reads back otherwise than it was written; the disk cannot be trusted")
    for old in (*existing(folder)[KEPT:], *folder.glob(".*")):  # hidden: what a kill left of a save
        old.unlink(missing_ok=True)
    return path


def _save(path: Path, content: dict[str, Tensor], words: dict[str, str]) -> None:
    with atomic.replace(path) as temporary:
        try:
            save_file(content, temporary, words)
        except SafetensorError as error:  # its own error, in which the system's stands as a number
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def read(path: Path) -> Checkpoint | None:
    """The checkpoint, or None if it is torn, altered or no checkpoint at all (a pickle, say)."""
    try:
        with safe_open(path, framework="pt") as file:
            words = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        step, expected = int(words.pop("step")), words.pop("sha256")
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    return Checkpoint(step, tensors, words) if _digest(tensors) == expected else None


def existing(folder: Path) -> list[Path]:
    """The checkpoint files of a run, newest first, sound or not."""
    return sorted(folder.glob("step-*.safetensors"), reverse=True) if folder.is_dir() else []


def drop_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of later steps."""
    for path in existing(folder):
        if int(path.stem.rpartition("-")[2]) > step:
            path.unlink(missing_ok=True)


def sound(folder: Path) -> dict[int, Checkpoint]:
    """The checkpoints that verify, by step."""
    states = (read(path) for path in existing(folder))
    return {state.step: state for state in states if state is not None}


def _room(folder: Path, need: int) -> str:
    try:
        free = f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free on its disk, a quota may allow less"
    except OSError as error:
        free = f"its disk does not tell what is free: {error.strerror}"
    return f"it needs {need / 1e6:.1f} MB, {free}"


def _digest(tensors: Mapping[str, Tensor]) -> str:
    hashed = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        hashed.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        hashed.update(value.numpy().tobytes())
    return hashed.hexdigest()
