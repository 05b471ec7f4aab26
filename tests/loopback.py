"""A real HTTP server on this machine that serves files, and misbehaves where it is told to."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeVar

Page = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers with the page of the path; `server.asked` holds every request's path."""

    protocol_version = "HTTP/1.1"
    server: Server
    body: bytes
    """What came with the request."""

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.lock:
            self.server.asked.append(self.path)
            self.server.agents.add(self.headers.get("User-Agent", ""))
            self.times = self.server.asked.count(self.path)
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
        try:
            self.server.pages.get(self.path, status(404))(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with self.server.lock:
                self.server.now -= 1

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is printed."""

    def head(self, code: int, **headers: str | int) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


class Server(ThreadingHTTPServer):
    """`most`: so many requests were under way at once."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []
        self.agents: set[str] = set()
        self.lock, self.now, self.most = threading.Lock(), 0, 0

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def times(self, path: str) -> int:
        return self.asked.count(path)


def serving() -> contextlib.AbstractContextManager[Server]:
    return running(Server())


Running = TypeVar("Running", bound=ThreadingHTTPServer)


@contextlib.contextmanager
def running(server: Running) -> Iterator[Running]:
    """The server at work in a thread of its own, and gone after the block."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def file(content: bytes, kind: str = "image/png", pause: float = 0.0) -> Page:
    """A well-behaved file; `pause` seconds lie between its tenths."""

    def page(handler: Handler) -> None:
        handler.head(200, Content_Type=kind, Content_Length=len(content))
        step = max(1, len(content) // 10)
        for at in range(0, len(content), step):
            handler.wfile.write(content[at : at + step])
            handler.wfile.flush()
            time.sleep(pause)

    return page


def status(code: int, **headers: str | int) -> Page:
    return lambda handler: handler.head(code, Content_Length=0, **headers)


def body(*pieces: bytes | float, close: bool = True, **headers: str | int) -> Page:
    """An answer 200 of these pieces, with a rest of so many seconds for each number, under any headers at all."""

    def page(handler: Handler) -> None:
        handler.head(200, **headers)
        for piece in pieces:
            if isinstance(piece, float):
                time.sleep(piece)
            else:
                handler.wfile.write(piece)
                handler.wfile.flush()
        handler.close_connection = close

    return page


def moved(to: str) -> Page:
    return status(302, Location=to)


def first(times: int, before: Page, after: Page) -> Page:
    """One page for the first so many requests of a path, another one from then on."""
    return lambda handler: (before if handler.times <= times else after)(handler)
