"""Questions to a language model behind an endpoint in OpenAI's form (`POST <url>/chat/completions`), a few at a time.

A key is taken from the environment alone. It goes over https, or to this machine, and into no file, log or message.
"""

from __future__ import annotations

import json
import logging
import os
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

import httpx

from scoft_hpc import __version__
from scoft_hpc.config.commands import Rewriter
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.download.http import CROWDED, PASSING, Later, Refused, retry_after
from scoft_hpc.study.interrupt import Stop

log = logging.getLogger(__name__)

KEY = "OPENAI_API_KEY"
"""The environment variable that holds the key."""
HERE = ("localhost", "127.0.0.1", "::1")
FIXED = {"temperature": 0, "seed": 0}
"""So that the same question gets the same answer; what a model does not take is left out."""
HOPELESS = (401, 403, 404, 405)
"""Answers that any other question would get too."""
LARGEST = 2**20
"""Bytes of an answer."""
BACKOFF = 1.0
"""Seconds, about, before the second try of a question; doubled before each further one."""
LONGEST = 300.0
"""A server that wants to be left alone for more seconds than that is left alone by this call."""
TICK = 0.05


@dataclass(frozen=True)
class Question:
    """What is asked about: a culture's prompt under an instruction."""

    culture: str
    prompt: str
    instruction: str


@dataclass(frozen=True)
class Answer:
    """The text as it came, with what the server counted (`usage`) and what was asked with it (`parameters`)."""

    text: str
    usage: dict[str, Any]
    parameters: dict[str, Any]


@dataclass(eq=False)
class _Item:
    question: Question
    tries: int = 0
    ready: float = 0.0


@dataclass
class Chat:
    """The endpoint. `parameters`: those of FIXED that it takes, as far as is known."""

    settings: Rewriter
    parameters: dict[str, Any] = field(default_factory=lambda: dict(FIXED))

    def __post_init__(self) -> None:
        self.url = f"{self.settings.url.rstrip('/')}/chat/completions"
        parsed = httpx.URL(self.url)
        self.key = os.environ.get(KEY, "").strip()
        if self.key and parsed.scheme != "https" and parsed.host not in HERE:
            log.warning("%s is not sent to %s: it goes over https only", KEY, parsed.host)
            self.key = ""
        headers = {"User-Agent": f"scoft-hpc/{__version__}"}
        headers |= {"Authorization": f"Bearer {self.key}"} if self.key else {}
        through_proxy = parsed.host not in HERE  # where the environment names one: not to this machine
        self.client = httpx.Client(headers=headers, timeout=self.settings.seconds, trust_env=through_proxy)

    def answers(
        self, questions: Sequence[Question], stop: Stop
    ) -> Iterator[tuple[Question, Answer | Refused]]:
        """Each question with what came of it, as it comes.

        Raises:
            ConfigError: if the endpoint would answer no other question either.
            Interrupted: if `stop` was requested, once the answers that are under way have come.
        """
        waiting = [_Item(question) for question in questions]
        flying: dict[Future[Answer | Later | Refused], _Item] = {}
        quiet = 0.0  # until when the server is not to be asked
        with self.client, ThreadPoolExecutor(self.settings.jobs) as pool:
            while waiting or flying:
                for item in list(waiting):
                    pause = max(item.ready, quiet) - time.monotonic()
                    if pause > LONGEST:
                        waiting.remove(item)
                        yield (
                            item.question,
                            Refused(f"got no answer: its server wants peace for {pause:.0f} s"),
                        )
                    elif pause <= 0 and len(flying) < self.settings.jobs and not stop.requested:
                        waiting.remove(item)
                        flying[pool.submit(self.ask, item.question)] = item
                if not flying:
                    stop.check()
                    time.sleep(TICK)
                for future in wait(flying, TICK, FIRST_COMPLETED).done:
                    item, outcome = flying.pop(future), future.result()
                    if not isinstance(outcome, Later):
                        yield item.question, outcome
                    elif ended := self._again(item, outcome):
                        yield item.question, ended
                    else:
                        waiting.append(item)
                        quiet = max(quiet, item.ready) if outcome.crowded else quiet

    def ask(self, question: Question) -> Answer | Later | Refused:
        """One try.

        Raises:
            ConfigError: if any other question would meet the same.
        """
        while True:
            asked = dict(self.parameters)
            try:
                status, headers, content = self._post(question, asked)
            except httpx.TimeoutException:
                return Later(f"no answer within {self.settings.seconds:g} s")
            except httpx.TransportError as error:
                return Later(self._safe(str(error) or type(error).__name__))
            told = self._safe(_message(content))
            if status in (400, 422) and (refused := [name for name in asked if name in told]):
                self.parameters = {k: v for k, v in self.parameters.items() if k not in refused}
                continue
            return self._read(status, headers, content, told, asked)

    def _post(self, question: Question, parameters: dict[str, Any]) -> tuple[int, httpx.Headers, bytes]:
        messages = [
            {"role": "system", "content": question.instruction},
            {"role": "user", "content": question.prompt},
        ]
        body = {"model": self.settings.model, "messages": messages, **parameters}
        started, content = time.monotonic(), b""
        with self.client.stream("POST", self.url, json=body) as response:
            for chunk in response.iter_bytes():
                content += chunk
                if len(content) > LARGEST:
                    raise httpx.ReadError(f"more than {LARGEST} bytes")
                if time.monotonic() - started > self.settings.seconds:
                    raise httpx.ReadTimeout("slow")
        return response.status_code, response.headers, content

    def _read(
        self, status: int, headers: httpx.Headers, content: bytes, told: str, asked: dict[str, Any]
    ) -> Answer | Later | Refused:
        what = f"answered {status}{f' ({told})' if told else ''}"
        if status in HOPELESS or 300 <= status < 400:
            raise ConfigError(self._hopeless(status, headers, what))
        if status in (*CROWDED, *PASSING) or status >= 500:
            return Later(what, retry_after(headers.get("Retry-After")), crowded=status in CROWDED)
        if status != 200:
            return Refused(what)
        try:
            found = json.loads(content)
            choice = found["choices"][0]
            message = choice["message"]
            text = message.get("content") or ""
            refusal = message.get("refusal") or ""
            usage = found.get("usage") or {}
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return Later("answered 200 with something else than a chat completion")
        if refusal or choice.get("finish_reason") == "content_filter":
            return Refused(f"was declined{f': {self._safe(str(refusal))}' if refusal else ' by a filter'}")
        if choice.get("finish_reason") == "length":
            return Refused("got an answer that was cut off")
        if not isinstance(text, str) or not isinstance(usage, dict):
            return Later("answered 200 with something else than a chat completion")
        return Answer(self._redacted(text), usage, asked)

    def _again(self, item: _Item, later: Later) -> Refused | None:
        """None if the item is to be asked once more, at `item.ready`."""
        item.tries += 1
        if item.tries >= self.settings.tries:
            return Refused(f"got no answer: {later.reason} (the last of {item.tries} tries)")
        backoff = BACKOFF * 2 ** (item.tries - 1) * random.uniform(0.5, 1.5)
        item.ready = time.monotonic() + max(backoff, later.seconds or 0.0)
        return None

    def _hopeless(self, status: int, headers: httpx.Headers, what: str) -> str:
        where = f"{self.url} {what}"
        if status in (401, 403):
            given = f"that in {KEY} is not accepted" if self.key else f"none was sent; set {KEY}"
            return f"{self.url} answered {status}: it expects a key, and {given}."
        if 300 <= status < 400:
            return f"{where} and leads to {self._safe(headers.get('Location', ''))}; set rewriter.url to where it is."
        return (
            f"{where}; expected an endpoint in OpenAI's form that has the model {self.settings.model}. "
            f"Mend rewriter.url or rewriter.model."
        )

    def _safe(self, text: str) -> str:
        """What a server said, for a message: a line, without the key."""
        line = " ".join(self._redacted(text).split())
        return line if len(line) <= 200 else f"{line[:199]}…"

    def _redacted(self, text: str) -> str:
        return text.replace(self.key, "…") if self.key else text


def _message(content: bytes) -> str:
    """What the body says of an error; empty if it says nothing that is meant to be read."""
    try:
        error = json.loads(content)["error"]
        return str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, LookupError, TypeError, RecursionError):
        return ""
