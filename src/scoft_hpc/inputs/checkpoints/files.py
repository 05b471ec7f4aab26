"""A network's files in a folder, as diffusers and transformers lay them out."""

from __future__ import annotations

from pathlib import Path

from scoft_hpc.study.json_files import read_json


def shards(path: Path) -> list[Path]:
    """The weights in one file, or those that the index of a sharded file names; empty if there is neither."""
    if path.is_file():
        return [path]
    names = read_json(path.with_name(f"{path.name}.index.json")).get("weight_map", {})
    if not isinstance(names, dict):
        return []
    return [path.with_name(Path(str(name)).name) for name in sorted(set(names.values()))]
