"""Questions to a language model behind an endpoint in OpenAI's form (`POST <url>/chat/completions`), a few at a time.

A key is taken from the environment alone. It goes over https, or to this machine, and into no file, log or message.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from scoft_hpc import __version__
from scoft_hpc.config.commands import Rewriter
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.request_queue import Rejected, Retry, retry_for, send_all
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
    ) -> Iterator[tuple[Question, Answer | Rejected]]:
        """Each question with what came of it, as it comes.

        Raises:
            ConfigError: if the endpoint would answer no other question either.
            Interrupted: if `stop` was requested, once the answers that are under way have come.
        """
        urls = dict.fromkeys(questions, self.url)
        jobs, tries = self.settings.jobs, self.settings.tries
        with self.client:
            yield from send_all(
                urls,
                lambda question, _: self.ask(question),
                stop,
                jobs=jobs,
                per_host=jobs,
                max_attempts=tries,
            )

    def ask(self, question: Question) -> Answer | Retry | Rejected:
        """One try.

        Raises:
            ConfigError: if any other question would meet the same.
        """
        while True:
            asked = dict(self.parameters)
            try:
                status, headers, content = self._post(question, asked)
            except httpx.TimeoutException:
                return Retry(f"got no answer within {self.settings.seconds:g} s")
            except httpx.TransportError as error:
                return Retry(f"got no answer: {self._safe(str(error) or type(error).__name__)}")
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
    ) -> Answer | Retry | Rejected:
        what = f"answered {status}{f' ({told})' if told else ''}"
        if status in HOPELESS or 300 <= status < 400:
            raise ConfigError(self._hopeless(status, headers, what))
        if retry := retry_for(status, headers.get("Retry-After"), what):
            return retry
        if status != 200:
            return Rejected(what)
        try:
            found = json.loads(content)
            choice = found["choices"][0]
            message = choice["message"]
            text = message.get("content") or ""
            refusal = message.get("refusal") or ""
            usage = found.get("usage") or {}
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return Retry("answered 200 with something else than a chat completion")
        if refusal or choice.get("finish_reason") == "content_filter":
            return Rejected(f"was declined{f': {self._safe(str(refusal))}' if refusal else ' by a filter'}")
        if choice.get("finish_reason") == "length":
            return Rejected("got an answer that was cut off")
        if not isinstance(text, str) or not isinstance(usage, dict):
            return Retry("answered 200 with something else than a chat completion")
        return Answer(self._redacted(text), usage, asked)

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
