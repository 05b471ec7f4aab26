"""What the header of a safetensors file tells, without reading its tensors.

The format: the header's length in 8 bytes, little-endian, the header as JSON, the tensors' bytes.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

LONGEST_HEADER = 100_000_000
"""Bytes; the format's own limit."""


def fault(path: Path) -> str | None:
    """What is wrong with a file, judged by its header and its length; None: nothing."""
    if not path.is_file():
        return "is missing"
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start == b"version ":
            return "is a Git LFS pointer, not the weights: run `git lfs pull`"
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(LONGEST_HEADER, size - 8):
            return "is not a safetensors file, or only its beginning"
        try:
            header = json.loads(file.read(length))
            ends = [value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError):
            return "is not a safetensors file"
    return None if size == expected else f"has {size:,} bytes of {expected:,}: half-downloaded"


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The names and shapes of the tensors in a file without `fault`."""
    with path.open("rb") as file:
        header: dict[str, Any] = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
    return {name: tuple(value["shape"]) for name, value in header.items() if name != "__metadata__"}
