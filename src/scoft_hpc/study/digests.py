"""Short digests of contents, by which files are named and changes since the plan are noticed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from scoft_hpc.errors import ScoftError


def text_digest(text: str) -> str:
    """16 hex digits of the text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def json_digest(content: Any) -> str:
    """16 hex digits over plain data, whatever the order of its keys."""
    return text_digest(json.dumps(content, sort_keys=True))


def require_planned(error: type[ScoftError], name: object, digest: str, planned: str) -> None:
    """Raise `error` if something has another digest than the run was planned with; a plan may know none."""
    if planned not in ("", digest):
        raise error(
            f"{name} has changed since the run was planned (digest {digest[:8]}, planned with {planned[:8]}). "
            f"Restore it, or plan a new study with study=NAME."
        )
