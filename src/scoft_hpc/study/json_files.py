"""Reading the JSON files of a study, which another process may be writing, or another version wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read_json(path: Path, notes: list[str] | None = None) -> dict[str, Any]:
    """The object in the file; empty if there is no such file, or no whole object in it.

    A file that exists and cannot be read is also added to `notes`.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        fault = str(error)
    else:
        if isinstance(content, dict):
            return content
        fault = f"expected a JSON object, found {type(content).__name__}"
    if notes is not None:
        notes.append(f"{path} cannot be read and is left out ({fault}).")
    return {}
