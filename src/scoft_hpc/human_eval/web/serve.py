"""`survey serve`: check the settings and serve the application with uvicorn."""

from __future__ import annotations

import ipaddress
import logging
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvicorn
from rich.console import Console
from starlette.types import ASGIApp

from scoft_hpc.console import print_lines
from scoft_hpc.errors import ConfigError, LaunchError
from scoft_hpc.human_eval import database, survey_yaml
from scoft_hpc.human_eval.command_args import CommandArgs
from scoft_hpc.human_eval.store import Store
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.human_eval.web import rater_sessions
from scoft_hpc.human_eval.web.app import create
from scoft_hpc.study.interrupt import StopFlag

HOST, PORT = "127.0.0.1", "8000"
BACKLOG = 1024
IDLE_SECONDS = 75
"""How long an idle connection stays open: longer than most raters need for a page, and than proxies' defaults."""
GRACE_SECONDS = 10
"""How long the server waits for requests in progress when it stops."""


@dataclass(frozen=True)
class ServerAddress:
    """The address at which the server listens, and the `url` that raters use."""

    host: str
    port: int
    url: str

    @property
    def listens(self) -> str:
        """The server's URL without a proxy."""
        return f"http://{_bracketed(self.host)}:{self.port}"

    @property
    def local(self) -> bool:
        return _is_loopback(self.host) and _is_loopback(urlsplit(self.url).hostname or "")


def serve(args: CommandArgs) -> int:
    """Serve the study's survey until SIGINT or SIGTERM; returns 0.

    Raises:
        ConfigError: for invalid settings, or a survey, secret or database that cannot be used.
        LaunchError: if the server cannot listen at the address.
    """
    folder = args.study.survey
    survey, pages = survey_yaml.load(folder)
    address = parse_address(args.settings)
    if faults := list(_ethics(survey, address)):
        raise ConfigError.from_messages(faults)
    secret = rater_sessions.secret(folder.secret)
    store = Store.open(survey, pages, database.url_of(folder, args.settings.get("database")))
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    with closing(store), closing(open_socket(address.host, address.port)) as listener:
        address = _bound(address, listener)
        app = create(store, survey, folder.images, secret, address.url)
        print_lines(Console(), _summary(survey, address, app.state.survey_app.signer.admin_token))
        with StopFlag().capture_signals():  # uvicorn receives them first, stops, and raises them again
            uvicorn.Server(uvicorn_config(app)).run(sockets=[listener])
    return 0


def uvicorn_config(app: ASGIApp) -> uvicorn.Config:
    """Uvicorn's settings: it logs nothing about visitors, and ignores the headers of proxies."""
    return uvicorn.Config(
        app,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        lifespan="off",
        log_level="warning",
        log_config=None,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


def parse_address(settings: Mapping[str, str]) -> ServerAddress:
    """The address of the settings `host`, `port` and `url`.

    Raises:
        ConfigError: for an invalid port or URL, or a host that other machines can reach, without a `url`.
    """
    host, port = settings.get("host") or HOST, settings.get("port") or PORT
    url = settings.get("url", "").rstrip("/")
    faults = []
    if not (port.isascii() and port.isdecimal() and int(port[:6]) < 65536):
        faults.append(f"port={port}: expected a number from 0 (any free one) to 65535, such as port={PORT}.")
    if not url and not _is_loopback(host):
        faults.append(
            f"host={host} can be reached by other machines, so raters' links need a public address: "
            f"add url=https://survey.example.edu."
        )
    if url:
        faults += _url_faults(url)
    if faults:
        raise ConfigError.from_messages(faults)
    return ServerAddress(host, int(port), url or ServerAddress(host, int(port), "").listens)


def open_socket(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        LaunchError: if the address is in use, unknown or not this machine's.
    """
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
    except OSError as error:
        raise LaunchError(f"host={host}: {error.strerror}. Expected an address of this machine.") from None
    try:
        dualstack = family == socket.AF_INET6
        return socket.create_server(place, family=family, backlog=BACKLOG, dualstack_ipv6=dualstack)
    except OSError as error:
        raise LaunchError(
            f"nothing can listen at {host}:{port}: {os.strerror(error.errno or 0)}. If another program is there, "
            f"choose another port, such as port={port + 1 if port < 65535 else PORT}, or port=0 for any free one."
        ) from None


def _bound(address: ServerAddress, listener: socket.socket) -> ServerAddress:
    """The address with the socket's port, if the setting was port 0."""
    if address.port:
        return address
    port = listener.getsockname()[1]
    url = address.url.removesuffix(":0") + f":{port}" if address.url.endswith(":0") else address.url
    return ServerAddress(address.host, port, url)


def _url_faults(url: str) -> list[str]:
    example = "expected the address alone, as url=https://survey.example.edu"
    try:
        parts = urlsplit(url)
        _ = parts.port  # parsed on access
    except ValueError:
        return [f"url={url} cannot be read: {example}."]
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return [f"url={url}: {example}."]
    if parts.path or parts.query or parts.fragment or parts.username:
        return [f"url={url} has more than a host and a port: {example}."]
    if parts.scheme == "http" and not _is_loopback(parts.hostname):
        return [f"url={url} would send raters' links unencrypted; expected https, by a reverse proxy."]
    return []


def _ethics(survey: Survey, address: ServerAddress) -> Iterator[str]:
    if survey.ethics.reference:
        return
    if not survey.ethics.pilot:
        yield (
            "the survey file names no ethics approval: write its reference as `ethics: {reference: …}`, or "
            "`ethics: {pilot: true}` for a trial on this machine only."
        )
    if not address.local:
        yield (
            f"a survey without approval is served on this machine only, not at {address.host} as {address.url}: "
            "leave out host= and url=, or write the reference into the survey file, as `ethics: {reference: …}`."
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _summary(survey: Survey, address: ServerAddress, token: str) -> Iterator[str]:
    yield f"survey    {survey.title}"
    yield f"raters    {address.url}/"
    if address.url != address.listens:
        yield f"proxy     passes that on to {address.listens}"
    yield f"progress  {address.url}/admin   token {token}"
    yield "ends      with Ctrl-C; every answer is stored when it is given"
