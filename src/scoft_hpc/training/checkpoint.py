"""Checkpoints: one safetensors file per save, with a hash of its tensors, so that a torn file is never loaded."""

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

MAX_CHECKPOINTS = 2
"""Kept per run: the newest, and one to fall back on."""


class Checkpoint(NamedTuple):
    """The content of a checkpoint: updates done, and tensors and strings by name."""

    step: int
    tensors: dict[str, Tensor]
    metadata: dict[str, str]


def write(folder: Path, step: int, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> Path:
    """Save durably; older checkpoints go only after the new one has been read back and verified.

    Raises:
        OSError: for example without space, with the needed and the free MB; earlier saves are untouched.
    """
    path = folder / f"step-{step:08d}.safetensors"
    content = {name: value.cpu().contiguous() for name, value in tensors.items()}
    metadata = {**metadata, "step": str(step), "sha256": _digest(content)}
    try:
        atomic.retry_stale_handle(lambda: _save(path, content, metadata))
    except OSError as error:
        need = sum(value.nbytes for value in content.values())
        message = f"{path} cannot be saved: {error.strerror or error}; {_space(folder, need)}"
        raise OSError(error.errno, message) from error
    if read(path) is None:
        raise OSError(f"{path} reads back differently from what was written; the disk cannot be trusted")
    unfinished = folder.glob(".*")  # temporary files of saves that were killed
    for old in (*existing(folder)[MAX_CHECKPOINTS:], *unfinished):
        old.unlink(missing_ok=True)
    return path


def _save(path: Path, content: dict[str, Tensor], metadata: dict[str, str]) -> None:
    with atomic.replace(path) as temporary:
        try:
            save_file(content, temporary, metadata)
        except SafetensorError as error:  # which names the system's error by its number only
            number = re.search(r"os error (\d+)", str(error))
            if number is None:
                raise
            raise OSError(int(number[1]), os.strerror(int(number[1]))) from error


def read(path: Path) -> Checkpoint | None:
    """The checkpoint, or None if it is torn, altered or not a checkpoint (for example a pickle)."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
        step, expected = int(metadata.pop("step")), metadata.pop("sha256")
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    return Checkpoint(step, tensors, metadata) if _digest(tensors) == expected else None


def existing(folder: Path) -> list[Path]:
    """The checkpoint files of a run, newest first, valid or not."""
    return sorted(folder.glob("step-*.safetensors"), reverse=True) if folder.is_dir() else []


def drop_after(folder: Path, step: int) -> None:
    """Remove the checkpoints of later steps."""
    for path in existing(folder):
        if int(path.stem.rpartition("-")[2]) > step:
            path.unlink(missing_ok=True)


def read_valid(folder: Path) -> dict[int, Checkpoint]:
    """The checkpoints that verify, by step."""
    checkpoints = (read(path) for path in existing(folder))
    return {valid.step: valid for valid in checkpoints if valid is not None}


def _space(folder: Path, need: int) -> str:
    try:
        free = f"{shutil.disk_usage(folder).free / 1e6:.1f} MB are free on its disk, a quota may allow less"
    except OSError as error:
        free = f"the free space of its disk is unknown: {error.strerror}"
    return f"it needs {need / 1e6:.1f} MB, {free}"


def _digest(tensors: Mapping[str, Tensor]) -> str:
    hashed = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name]
        hashed.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        hashed.update(value.numpy().tobytes())
    return hashed.hexdigest()
