"""A folder served on loopback in the words of the Hugging Face Hub, as far as `hf download` asks."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0" * 40


@contextlib.contextmanager
def serving(folder: Path, name: str) -> Iterator[str]:
    """Serve `folder` as the model `name`; yields the address that HF_ENDPOINT takes."""
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}

    class Hub(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, *words: object) -> None:
            pass

        def _answer(self, body: bool) -> None:
            path = self.path.partition("?")[0]
            file = files.get(path.removeprefix(f"/{name}/resolve/{COMMIT}/"))
            if path.startswith(f"/api/models/{name}/tree/"):
                self._send(json.dumps([_entry(name, path) for name, path in files.items()]).encode(), body)
            elif path.startswith(f"/api/models/{name}"):
                self._send(json.dumps(_model(name, list(files))).encode(), body)
            elif file is not None:
                self._send(file.read_bytes(), body)
            else:
                self.send_error(404)

        def _send(self, content: bytes, body: bool) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.end_headers()
            if body:
                self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _model(name: str, files: list[str]) -> dict[str, object]:
    return {"id": name, "modelId": name, "sha": COMMIT, "private": False, "tags": [], "downloads": 0, "likes": 0,
            "siblings": [{"rfilename": file} for file in files]}  # fmt: skip


def _entry(name: str, path: Path) -> dict[str, object]:
    return {"type": "file", "path": name, "size": path.stat().st_size, "oid": "0" * 40}
