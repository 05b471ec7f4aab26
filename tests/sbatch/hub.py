"""A folder served on loopback in the words of the Hugging Face Hub, as far as `hf download` asks."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import http_server
from http_server import Request

COMMIT = "0" * 40


@contextlib.contextmanager
def serving(folder: Path, name: str) -> Iterator[str]:
    """Serve `folder` as the model `name`; yields the address that HF_ENDPOINT takes."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}

    def answer(request: Request) -> None:
        path = request.path.partition("?")[0]
        file = files.get(path.removeprefix(f"/{name}/resolve/{COMMIT}/"))
        if path.startswith(f"/api/models/{name}/tree/"):
            _send(request, json.dumps([_entry(name, path) for name, path in files.items()]).encode())
        elif path.startswith(f"/api/models/{name}"):
            _send(request, json.dumps(_model(name, list(files))).encode())
        elif file is not None:
            _send(request, file.read_bytes())
        else:
            request.send_error(404)

    with http_server.serving(answer) as server:
        yield server.url("")


def _send(request: Request, content: bytes) -> None:
    request.send(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=COMMIT)


def _model(name: str, files: list[str]) -> dict[str, object]:
    return {"id": name, "modelId": name, "sha": COMMIT, "private": False, "tags": [], "downloads": 0, "likes": 0,
            "siblings": [{"rfilename": file} for file in files]}  # fmt: skip


def _entry(name: str, path: Path) -> dict[str, object]:
    return {"type": "file", "path": name, "size": path.stat().st_size, "oid": "0" * 40}
