"""Safetensors files on disk: the shards of a network, and what a header says without reading the tensors.

The format: the header's length in 8 bytes, little-endian, the header as JSON, the tensors' bytes.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from scoft_hpc.study.json_files import read_json

MAX_HEADER_BYTES = 100_000_000
"""The format's own limit."""


def problem(path: Path) -> str | None:
    """What is wrong with a file, judged by its header and its length; None: nothing."""
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start == b"version ":
            return "is a Git LFS pointer, not the weights: run `git lfs pull`"
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(MAX_HEADER_BYTES, size - 8):
            return "is not a safetensors file, or only its beginning"
        try:
            header = json.loads(file.read(length))
            ends = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            return "is not a safetensors file"
    return None if size == expected else f"has {size:,} bytes of {expected:,}: half-downloaded"


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the tensors in a file without a `problem`."""
    with path.open("rb") as file:
        header: dict[str, Any] = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return {name: tuple(value["shape"]) for name, value in header.items() if name != "__metadata__"}


def shards(path: Path) -> list[Path]:
    """The weights in one file, or those that the index of a sharded file names; empty if there is neither."""
    if path.is_file():
        return [path]
    names = read_json(path.with_name(f"{path.name}.index.json")).get("weight_map", {})
    if not isinstance(names, dict):
        return []
    return [path.with_name(Path(str(name)).name) for name in sorted(set(names.values()))]
