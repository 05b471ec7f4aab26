"""A W&B server on this machine, real enough for wandb's own client: it keeps runs, and misbehaves where told to.

It speaks GraphQL operations by their names, takes history, summary and uploads, and answers what `wandb.Api` asks.
A history line is kept as it arrives: a row that is sent twice lies there twice, as at W&B.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from loopback import running

KEY = "0123456789abcdef0123456789abcdef01234567"
ENTITY = "somebody"


@dataclass
class Kept:
    """What the server has of a run; `starts` counts how often a client has opened it."""

    entity: str
    project: str
    name: str
    fields: dict[str, Any] = field(default_factory=dict)
    state: str = "running"
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    starts: int = 0

    @property
    def steps(self) -> list[int]:
        return [row["_step"] for row in self.history]

    @property
    def config(self) -> dict[str, Any]:
        """The settings, without wandb's own."""
        content = json.loads(self.fields.get("config") or "{}")
        return {name: entry["value"] for name, entry in content.items() if name != "_wandb"}


class WandbServer(ThreadingHTTPServer):
    """The server. Its faults:

    Attributes:
        stream_status, upload_status: the answer to history and to uploads, instead of taking them.
        drops: the steps of history lines that are acknowledged and lost.
        takes: so many history lines of a run are kept, and nothing that comes after them.
        pause: seconds before each answer.
        dies_after: the operation after which nothing is answered any more: connections are cut.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.runs: dict[str, Kept] = {}
        self.asked: list[str] = []
        self.strangers: list[str] = []
        self.lock = threading.Lock()
        self.stream_status = self.upload_status = 200
        self.drops: Callable[[int], bool] = lambda step: False
        self.takes: int | None = None
        self.pause = 0.0
        self.dies_after: str | None = None

    @property
    def dead(self) -> bool:
        return self.dies_after in self.asked

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes wandb's client talk to this server; it sends rows every second rather than every fifteen."""
        often = {"WANDB__FILE_STREAM_TRANSMIT_INTERVAL": "1"}
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY, **often}

    def kept(self, start: str) -> Kept:
        """The run whose id begins so."""
        (run,) = (run for name, run in self.runs.items() if name.startswith(start))
        return run

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is no error here."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WandbServer

    def do_POST(self) -> None:
        content = json.loads(self._body() or b"{}")
        if self.server.dead:
            return self._cut()
        if not self._known():
            return self._answer(401, {"errors": [{"message": "no such key"}]})
        if self.path == "/graphql":
            return self._graphql(content)
        stream = re.fullmatch(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream", self.path)
        if stream is None:
            return self._answer(404, {})
        if self.server.stream_status != 200:
            return self._answer(self.server.stream_status, {"error": "told to"})
        with self.server.lock:
            self._stream(self.server.runs[stream[3]], content)
        return self._answer(200, {})

    def do_PUT(self) -> None:
        content, (name, _, file) = self._body(), self.path.removeprefix("/put/").partition("/")
        if self.server.dead:
            return self._cut()
        if self.server.upload_status != 200:
            return self._answer(self.server.upload_status, {"error": "told to"})
        self.server.runs[name].files[file] = content
        return self._answer(200, {})

    def do_GET(self) -> None:
        self._answer(404, {})

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing is printed."""

    def _stream(self, run: Kept, content: dict[str, Any]) -> None:
        files = content.get("files") or {}
        for line in files.get("wandb-history.jsonl", {}).get("content", []):
            row = json.loads(line)
            if len(run.history) == self.server.takes:
                return
            if not self.server.drops(row["_step"]):
                run.history.append(row)
        for line in files.get("wandb-summary.json", {}).get("content", []):
            run.summary = json.loads(line)
        if content.get("complete"):
            run.state = "failed" if content.get("exitcode") else "finished"

    def _graphql(self, content: dict[str, Any]) -> None:
        found = re.search(r"(?:query|mutation)\s+(\w+)", content["query"])
        operation, given = found[1] if found else "", content.get("variables") or {}
        with self.server.lock:
            self.server.asked.append(operation)
            work = getattr(self, f"_on_{operation}", None)
            if work is None:
                self.server.strangers.append(operation)
                return self._answer(400, {"errors": [{"message": f"unknown operation {operation}"}]})
            answer = work(given)
        return self._answer(200, {"data": answer})

    # What the client asks while it logs.

    def _on_Viewer(self, given: dict[str, Any]) -> Any:  # noqa: N802
        teams = {"edges": []}
        who = {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "s@example.org", "flags": "{}"}
        return {"viewer": {**who, "teams": teams}}

    def _on_ServerFeaturesQuery(self, given: dict[str, Any]) -> Any:  # noqa: N802
        return {"serverInfo": {"features": []}}

    def _on_OrganizationCoreWeaveOrganizationID(self, given: dict[str, Any]) -> Any:  # noqa: N802
        return {"entity": {"organization": {"coreWeaveOrganizationId": None}}}

    def _on_RunResumeStatus(self, given: dict[str, Any]) -> Any:  # noqa: N802
        run = self.server.runs.get(given["name"])
        return {"model": {**self._project(given), "bucket": self._bucket(run) if run else None}}

    def _on_UpsertBucket(self, given: dict[str, Any]) -> Any:  # noqa: N802
        by_id = next((run for run in self.server.runs.values() if run.name == given.get("id")), None)
        name = by_id.name if by_id else given["name"]
        inserted = name not in self.server.runs
        entity, project = given.get("entity") or ENTITY, given.get("project") or "uncategorized"
        run = self.server.runs.setdefault(name, Kept(entity, project, name))
        run.starts += "jobType" in given
        run.state = given.get("state") or "running"
        run.fields |= {key: value for key, value in given.items() if value is not None}
        return {"upsertBucket": {"bucket": self._bucket(run), "inserted": inserted}}

    def _on_CreateRunFiles(self, given: dict[str, Any]) -> Any:  # noqa: N802
        run = self.server.runs[given["run"]]
        files = [
            {"name": name, "uploadUrl": f"{self.server.url}/put/{run.name}/{name}"} for name in given["files"]
        ]
        return {"createRunFiles": {"runID": run.name, "uploadHeaders": [], "files": files}}

    def _on_CreateArtifact(self, given: dict[str, Any]) -> Any:  # noqa: N802
        sequence = {"id": "1", "name": "1", "latestArtifact": None}
        artifact = {"id": "1", "digest": given["input"]["digest"], "state": "COMMITTED", "aliases": []}
        return {"createArtifact": {"artifact": {**artifact, "artifactSequence": sequence}}}

    def _on_ArtifactType(self, given: dict[str, Any]) -> Any:  # noqa: N802
        return {"project": None}

    def _on_FetchArtifactDigestAlgorithm(self, given: dict[str, Any]) -> Any:  # noqa: N802
        return {"project": None}

    def _on_XXHashDigestsEnabled(self, given: dict[str, Any]) -> Any:  # noqa: N802
        return {"entity": {"xxhashDigestsEnabled": False}}

    # What the Api asks to read it back.

    def _on_GetDefaultEntity(self, given: dict[str, Any]) -> Any:  # noqa: N802
        return self._on_Viewer(given)

    def _on_Run(self, given: dict[str, Any]) -> Any:  # noqa: N802
        run = self.server.runs.get(given["name"])
        return {"project": {"run": self._whole(run) if run else None}}

    def _on_RunHistoryKeys(self, given: dict[str, Any]) -> Any:  # noqa: N802
        steps = self.server.runs[given["name"]].steps
        keys = {"lastStep": max(steps), "keys": {}, "sets": []} if steps else None
        return {"project": {"run": {"historyKeys": keys}}}

    def _on_RunFiles(self, given: dict[str, Any]) -> Any:  # noqa: N802
        run = self.server.runs[given["name"]]
        nodes = [
            {"id": name, "name": name, "url": "", "directUrl": "", "sizeBytes": len(content)}
            | {"mimetype": "", "updatedAt": "2026-01-01T00:00:00", "md5": ""}
            for name, content in run.files.items()
        ]
        page = {"endCursor": None, "hasNextPage": False}
        files = {"edges": [{"node": node, "cursor": ""} for node in nodes], "pageInfo": page}
        return {"project": {"internalId": "1", "run": {"fileCount": len(nodes), "files": files}}}

    # Pieces of answers.

    def _project(self, given: dict[str, Any]) -> dict[str, Any]:
        entity = given.get("entity") or ENTITY
        return {"id": "1", "name": given.get("project"), "entity": {"id": "1", "name": entity}}

    def _bucket(self, run: Kept) -> dict[str, Any]:
        tail = json.dumps([json.dumps(row) for row in run.history[-1:]])
        lines = {"historyLineCount": len(run.history), "eventsLineCount": 0, "logLineCount": 0}
        texts = {"historyTail": tail, "eventsTail": "[]", "summaryMetrics": json.dumps(run.summary)}
        project = self._project({"project": run.project, "entity": run.entity})
        names = {"id": run.name, "name": run.name, "displayName": run.fields.get("displayName")}
        own = {"config": run.fields.get("config") or "{}", "tags": run.fields.get("tags") or []}
        rest = {"description": "", "notes": "", "sweepName": None, "wandbConfig": '{"t": {}}'}
        return {**names, **lines, **texts, **own, **rest, "project": project}

    def _whole(self, run: Kept) -> dict[str, Any]:
        steps = run.steps
        keys = {"lastStep": max(steps), "keys": {}, "sets": []} if steps else None
        more = {"projectId": "1", "state": run.state, "historyKeys": keys, "systemMetrics": "{}"}
        who = {"user": {"name": ENTITY, "username": ENTITY}, "readOnly": False, "commit": None}
        times = {"createdAt": "2026-01-01T00:00:00", "heartbeatAt": "2026-01-01T00:00:00"}
        group = {"group": run.fields.get("groupName"), "jobType": run.fields.get("jobType")}
        return {**self._bucket(run), **more, **who, **times, **group}

    # The protocol.

    def _known(self) -> bool:
        """Whether the request carries the key."""
        kind, _, given = self.headers.get("Authorization", "").partition(" ")
        with contextlib.suppress(ValueError):
            return kind == "Basic" and base64.b64decode(given).decode().partition(":")[2] == KEY
        return False

    def _body(self) -> bytes:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.server.pause)
        return content

    def _cut(self) -> None:
        self.close_connection = True

    def _answer(self, status: int, content: Any) -> None:
        text = json.dumps(content).encode()
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)


def serving() -> contextlib.AbstractContextManager[WandbServer]:
    return running(WandbServer())
