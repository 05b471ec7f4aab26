"""A real HTTP server on this machine: a function answers each request, and the requests are recorded."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Route = Callable[["Request"], None]
"""Answers a request."""


class Request(BaseHTTPRequestHandler):
    """A request, and the ways to answer it."""

    protocol_version = "HTTP/1.1"
    server: Server
    body: bytes
    times: int
    """How many requests of its path there have been, with this one."""

    def do_GET(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with self.server.record(self):
            try:
                self.server.route(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def log_message(self, *args: object) -> None:
        """Nothing is printed."""

    def head(self, code: int, **headers: str | int) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def send(self, content: bytes, code: int = 200, **headers: str | int) -> None:
        """A whole answer; its head alone to a HEAD request."""
        self.head(code, Content_Length=len(content), **headers)
        if self.command != "HEAD":
            self.wfile.write(content)

    def send_json(self, content: Any, code: int = 200, **headers: str | int) -> None:
        self.send(json.dumps(content).encode(), code, Content_Type="application/json", **headers)

    def hang_up(self) -> None:
        """Close the connection after what was sent, which may be nothing."""
        self.close_connection = True


class Server(ThreadingHTTPServer):
    """Answers by `route`; without one, with the page of the request's path in `pages`, or 404.

    Attributes:
        requests: the path of every request, in order.
        user_agents: what the clients called themselves.
        active, max_active: how many requests are being answered, and the most at once.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, route: Route | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.pages: dict[str, Route] = {}
        self.route = route or (lambda request: self.pages.get(request.path, status(404))(request))
        self.requests: list[str] = []
        self.user_agents: set[str] = set()
        self.active = self.max_active = 0
        self._lock = threading.Lock()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def times(self, path: str) -> int:
        return self.requests.count(path)

    @contextlib.contextmanager
    def record(self, request: Request) -> Iterator[None]:
        with self._lock:
            self.requests.append(request.path)
            self.user_agents.add(request.headers.get("User-Agent", ""))
            request.times = self.times(request.path)
            self.active += 1
            self.max_active = max(self.max_active, self.active)
        try:
            yield
        finally:
            with self._lock:
                self.active -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no error here."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def serving(route: Route | None = None) -> Iterator[Server]:
    """A server at work in a thread of its own, and gone after the block."""
    server = Server(route)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def file(content: bytes, kind: str = "image/png", pause: float = 0.0) -> Route:
    """A well-behaved file; `pause` seconds lie between its tenths."""

    def page(request: Request) -> None:
        request.head(200, Content_Type=kind, Content_Length=len(content))
        step = max(1, len(content) // 10)
        for at in range(0, len(content), step):
            request.wfile.write(content[at : at + step])
            request.wfile.flush()
            time.sleep(pause)

    return page


def status(code: int, **headers: str | int) -> Route:
    return lambda request: request.head(code, Content_Length=0, **headers)


def body(*pieces: bytes | float, close: bool = True, **headers: str | int) -> Route:
    """An answer 200 of these pieces, with a rest of so many seconds for each number, under any headers at all."""

    def page(request: Request) -> None:
        request.head(200, **headers)
        for piece in pieces:
            if isinstance(piece, float):
                time.sleep(piece)
            else:
                request.wfile.write(piece)
                request.wfile.flush()
        request.close_connection = close

    return page


def moved(to: str) -> Route:
    return status(302, Location=to)


def first(times: int, before: Route, after: Route) -> Route:
    """One page for the first so many requests of a path, another one from then on."""
    return lambda request: (before if request.times <= times else after)(request)
