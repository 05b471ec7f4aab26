"""A network's files in a folder, as diffusers and transformers lay them out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; empty where there is none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def shards(path: Path) -> list[Path]:
    """The weights in one file, or those that the index of a sharded file names; empty if there is neither."""
    if path.is_file():
        return [path]
    names = read_json(path.with_name(f"{path.name}.index.json")).get("weight_map", {})
    if not isinstance(names, dict):
        return []
    return [path.with_name(Path(str(name)).name) for name in sorted(set(names.values()))]
