"""A W&B server on this machine, real enough for wandb's own client: it keeps runs, and misbehaves as a test asks.

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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import http_server
from http_server import Request

KEY = "0123456789abcdef0123456789abcdef01234567"
ENTITY = "somebody"
STREAM = re.compile(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream")


@dataclass
class WandbRun:
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


class WandbServer:
    """Its runs by id, the GraphQL operations that it was asked for, and its faults.

    Attributes:
        unknown_operations: those that it could not answer.
        stream_status, upload_status: the answer to history and to uploads, instead of taking them.
        drops: the steps of history lines that are acknowledged and lost.
        max_lines: so many history lines of a run are kept, and nothing that comes after them.
        pause: seconds before each answer.
        dies_after: the operation after which nothing is answered any more: connections are cut.
    """

    def __init__(self) -> None:
        self.url = ""
        self.runs: dict[str, WandbRun] = {}
        self.operations: list[str] = []
        self.unknown_operations: list[str] = []
        self.stream_status = self.upload_status = 200
        self.drops: Callable[[int], bool] = lambda step: False
        self.max_lines: int | None = None
        self.pause = 0.0
        self.dies_after: str | None = None
        self._lock = threading.Lock()

    @property
    def dead(self) -> bool:
        return self.dies_after in self.operations

    def environment(self, config: Path) -> dict[str, str]:
        """What makes wandb's client talk to this server; it sends rows every second rather than every fifteen.

        `config`: a folder for the client's own settings.
        """
        often = {"WANDB__FILE_STREAM_TRANSMIT_INTERVAL": "1"}
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": KEY, "WANDB_CONFIG_DIR": str(config), **often}

    def run(self, start: str) -> WandbRun:
        """The run whose id begins so."""
        (run,) = (run for name, run in self.runs.items() if name.startswith(start))
        return run

    def answer(self, request: Request) -> None:
        time.sleep(self.pause)
        if self.dead:
            return request.hang_up()
        match request.command:
            case "POST":
                return self._post(request, json.loads(request.body or b"{}"))
            case "PUT":
                return self._upload(request)
        return request.send_json({}, 404)

    def _post(self, request: Request, content: dict[str, Any]) -> None:
        if not _has_key(request):
            return request.send_json({"errors": [{"message": "no such key"}]}, 401)
        if request.path == "/graphql":
            return self._graphql(request, content)
        stream = STREAM.fullmatch(request.path)
        if stream is None:
            return request.send_json({}, 404)
        if self.stream_status != 200:
            return request.send_json({"error": "refused"}, self.stream_status)
        with self._lock:
            self._stream(self.runs[stream[3]], content)
        return request.send_json({})

    def _upload(self, request: Request) -> None:
        if self.upload_status != 200:
            return request.send_json({"error": "refused"}, self.upload_status)
        name, _, file = request.path.removeprefix("/put/").partition("/")
        self.runs[name].files[file] = request.body
        return request.send_json({})

    def _stream(self, run: WandbRun, content: dict[str, Any]) -> None:
        files = content.get("files") or {}
        for line in files.get("wandb-history.jsonl", {}).get("content", []):
            row = json.loads(line)
            if len(run.history) == self.max_lines:
                return
            if not self.drops(row["_step"]):
                run.history.append(row)
        for line in files.get("wandb-summary.json", {}).get("content", []):
            run.summary = json.loads(line)
        if content.get("complete"):
            run.state = "failed" if content.get("exitcode") else "finished"

    def _graphql(self, request: Request, content: dict[str, Any]) -> None:
        match = re.search(r"(?:query|mutation)\s+(\w+)", content["query"])
        operation = match[1] if match else ""
        with self._lock:
            self.operations.append(operation)
            resolve = getattr(self, f"_on_{_snake_case(operation)}", None)
            if resolve is None:
                self.unknown_operations.append(operation)
                return request.send_json({"errors": [{"message": f"unknown operation {operation}"}]}, 400)
            data = resolve(content.get("variables") or {})
        return request.send_json({"data": data})

    # What the client asks while it logs.

    def _on_viewer(self, variables: dict[str, Any]) -> Any:
        teams = {"edges": []}
        who = {"id": "1", "entity": ENTITY, "username": ENTITY, "email": "s@example.org", "flags": "{}"}
        return {"viewer": {**who, "teams": teams}}

    def _on_server_features_query(self, variables: dict[str, Any]) -> Any:
        return {"serverInfo": {"features": []}}

    def _on_organization_core_weave_organization_id(self, variables: dict[str, Any]) -> Any:
        return {"entity": {"organization": {"coreWeaveOrganizationId": None}}}

    def _on_run_resume_status(self, variables: dict[str, Any]) -> Any:
        run = self.runs.get(variables["name"])
        return {"model": {**self._project(variables), "bucket": self._bucket(run) if run else None}}

    def _on_upsert_bucket(self, variables: dict[str, Any]) -> Any:
        by_id = next((run for run in self.runs.values() if run.name == variables.get("id")), None)
        name = by_id.name if by_id else variables["name"]
        inserted = name not in self.runs
        entity, project = variables.get("entity") or ENTITY, variables.get("project") or "uncategorized"
        run = self.runs.setdefault(name, WandbRun(entity, project, name))
        run.starts += "jobType" in variables
        run.state = variables.get("state") or "running"
        run.fields |= {key: value for key, value in variables.items() if value is not None}
        return {"upsertBucket": {"bucket": self._bucket(run), "inserted": inserted}}

    def _on_create_run_files(self, variables: dict[str, Any]) -> Any:
        run = self.runs[variables["run"]]
        files = [
            {"name": name, "uploadUrl": f"{self.url}/put/{run.name}/{name}"} for name in variables["files"]
        ]
        return {"createRunFiles": {"runID": run.name, "uploadHeaders": [], "files": files}}

    def _on_create_artifact(self, variables: dict[str, Any]) -> Any:
        sequence = {"id": "1", "name": "1", "latestArtifact": None}
        artifact = {"id": "1", "digest": variables["input"]["digest"], "state": "COMMITTED", "aliases": []}
        return {"createArtifact": {"artifact": {**artifact, "artifactSequence": sequence}}}

    def _on_artifact_type(self, variables: dict[str, Any]) -> Any:
        return {"project": None}

    def _on_fetch_artifact_digest_algorithm(self, variables: dict[str, Any]) -> Any:
        return {"project": None}

    def _on_xx_hash_digests_enabled(self, variables: dict[str, Any]) -> Any:
        return {"entity": {"xxhashDigestsEnabled": False}}

    # What the Api asks to read it back.

    def _on_get_default_entity(self, variables: dict[str, Any]) -> Any:
        return self._on_viewer(variables)

    def _on_run(self, variables: dict[str, Any]) -> Any:
        run = self.runs.get(variables["name"])
        return {"project": {"run": self._whole(run) if run else None}}

    def _on_run_history_keys(self, variables: dict[str, Any]) -> Any:
        steps = self.runs[variables["name"]].steps
        keys = {"lastStep": max(steps), "keys": {}, "sets": []} if steps else None
        return {"project": {"run": {"historyKeys": keys}}}

    def _on_run_files(self, variables: dict[str, Any]) -> Any:
        run = self.runs[variables["name"]]
        nodes = [
            {"id": name, "name": name, "url": "", "directUrl": "", "sizeBytes": len(content)}
            | {"mimetype": "", "updatedAt": "2026-01-01T00:00:00", "md5": ""}
            for name, content in run.files.items()
        ]
        page = {"endCursor": None, "hasNextPage": False}
        files = {"edges": [{"node": node, "cursor": ""} for node in nodes], "pageInfo": page}
        return {"project": {"internalId": "1", "run": {"fileCount": len(nodes), "files": files}}}

    # Pieces of answers.

    def _project(self, variables: dict[str, Any]) -> dict[str, Any]:
        entity = variables.get("entity") or ENTITY
        return {"id": "1", "name": variables.get("project"), "entity": {"id": "1", "name": entity}}

    def _bucket(self, run: WandbRun) -> dict[str, Any]:
        tail = json.dumps([json.dumps(row) for row in run.history[-1:]])
        lines = {"historyLineCount": len(run.history), "eventsLineCount": 0, "logLineCount": 0}
        texts = {"historyTail": tail, "eventsTail": "[]", "summaryMetrics": json.dumps(run.summary)}
        project = self._project({"project": run.project, "entity": run.entity})
        names = {"id": run.name, "name": run.name, "displayName": run.fields.get("displayName")}
        own = {"config": run.fields.get("config") or "{}", "tags": run.fields.get("tags") or []}
        rest = {"description": "", "notes": "", "sweepName": None, "wandbConfig": '{"t": {}}'}
        return {**names, **lines, **texts, **own, **rest, "project": project}

    def _whole(self, run: WandbRun) -> dict[str, Any]:
        steps = run.steps
        keys = {"lastStep": max(steps), "keys": {}, "sets": []} if steps else None
        more = {"projectId": "1", "state": run.state, "historyKeys": keys, "systemMetrics": "{}"}
        who = {"user": {"name": ENTITY, "username": ENTITY}, "readOnly": False, "commit": None}
        times = {"createdAt": "2026-01-01T00:00:00", "heartbeatAt": "2026-01-01T00:00:00"}
        group = {"group": run.fields.get("groupName"), "jobType": run.fields.get("jobType")}
        return {**self._bucket(run), **more, **who, **times, **group}


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _has_key(request: Request) -> bool:
    kind, _, credentials = request.headers.get("Authorization", "").partition(" ")
    with contextlib.suppress(ValueError):
        return kind == "Basic" and base64.b64decode(credentials).decode().partition(":")[2] == KEY
    return False


@contextlib.contextmanager
def serving() -> Iterator[WandbServer]:
    wandb = WandbServer()
    with http_server.serving(wandb.answer) as server:
        wandb.url = server.url("")
        yield wandb
