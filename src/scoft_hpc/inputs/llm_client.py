"""Requests to a language model behind an OpenAI-compatible endpoint (`POST <url>/chat/completions`), a few at a time.

The `openai` client makes each attempt; `request_queue` has the retries, since a rate limit holds for all requests and
the client's own retries know one. A key comes from the environment alone. It goes over https, or to this machine, and
into no file, log or message.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import httpx

from scoft_hpc import __version__
from scoft_hpc.config.command_configs import Rewriter
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.request_queue import BACKOFF_SECONDS, Rejected, Retry, retry_for, send_all
from scoft_hpc.study.interrupt import StopFlag

log = logging.getLogger(__name__)

KEY = "OPENAI_API_KEY"
"""The environment variable that holds the key."""
LOOPBACK = ("localhost", "127.0.0.1", "::1")
PARAMETERS = {"temperature": 0, "seed": 0}
"""So that the same prompt gets the same answer; what a model does not take is left out."""
FATAL_STATUS = (401, 403, 404, 405)
"""Statuses that any other request would meet too."""
MAX_RESPONSE_BYTES = 2**20
NO_COMPLETION = "answered 200 with something else than a chat completion"


@dataclass(frozen=True)
class RewriteRequest:
    """A culture's prompt to be rewritten under an instruction."""

    culture: str
    prompt: str
    instruction: str


@dataclass(frozen=True)
class LlmAnswer:
    """The text as it came, with what the server counted (`usage`) and what was asked with it (`parameters`)."""

    text: str
    usage: dict[str, Any]
    parameters: dict[str, Any]


class ChatClient:
    """One endpoint. `parameters`: those of PARAMETERS that its model takes, as far as is known."""

    def __init__(
        self,
        settings: Rewriter,
        *,
        backoff_seconds: float = BACKOFF_SECONDS,
        max_response_bytes: int = MAX_RESPONSE_BYTES,
    ) -> None:
        import openai

        self.settings, self.url, self.backoff_seconds = settings, httpx.URL(settings.url), backoff_seconds
        self.parameters: dict[str, Any] = dict(PARAMETERS)
        self.key = os.environ.get(KEY, "").strip()
        if self.key and self.url.scheme != "https" and self.url.host not in LOOPBACK:
            log.warning("%s is not sent to %s: it goes over https only", KEY, self.url.host)
            self.key = ""
        bound = functools.partial(_bound, max_seconds=settings.seconds, max_bytes=max_response_bytes)
        self.http = httpx.Client(
            timeout=settings.seconds,
            trust_env=self.url.host not in LOOPBACK,  # which no proxy that the environment names is for
            event_hooks={"response": [bound]},
        )
        self.client = openai.OpenAI(
            base_url=settings.url,
            api_key=self.key or "none",
            default_headers={"User-Agent": f"scoft-hpc/{__version__}"},
            max_retries=0,
            http_client=self.http,
        )

    def answers(
        self, requests: Sequence[RewriteRequest], stop: StopFlag
    ) -> Iterator[tuple[RewriteRequest, LlmAnswer | Rejected]]:
        """Each request with its result, as they arrive.

        Raises:
            ConfigError: if the endpoint would answer no other request either.
            Interrupted: if `stop` was requested, once the answers that are under way have come.
        """
        urls, jobs = dict.fromkeys(requests, self.settings.url), self.settings.jobs
        with self.http:
            yield from send_all(
                urls,
                self.ask,
                stop,
                jobs=jobs,
                per_host=jobs,
                max_attempts=self.settings.tries,
                backoff_seconds=self.backoff_seconds,
            )

    def ask(self, request: RewriteRequest) -> LlmAnswer | Retry | Rejected:
        """One attempt.

        Raises:
            ConfigError: if any other request would meet the same.
        """
        import openai

        messages: Any = [
            {"role": "system", "content": request.instruction},
            {"role": "user", "content": request.prompt},
        ]
        headers = {} if self.key else {"Authorization": openai.Omit()}
        while True:
            parameters = dict(self.parameters)
            try:
                completion = self.client.chat.completions.create(
                    model=self.settings.model, messages=messages, extra_headers=headers, **parameters
                )
                return self._read(completion, parameters)
            except openai.APITimeoutError:
                return Retry(f"got no answer within {self.settings.seconds:g} s")
            except openai.APIConnectionError as error:
                return Retry(f"got no answer: {self._safe(error.__cause__ or error)}")
            except openai.APIStatusError as error:
                message = self._safe(
                    error.body.get("message") if isinstance(error.body, dict) else error.body
                )
                refused = [name for name in parameters if name in message]
                if error.status_code not in (400, 422) or not refused:
                    return self._failure(error.status_code, error.response.headers, message)
                self.parameters = {k: v for k, v in self.parameters.items() if k not in refused}
            except (json.JSONDecodeError, UnicodeDecodeError, RecursionError, openai.APIError):
                return Retry(NO_COMPLETION)

    def _read(self, completion: Any, parameters: dict[str, Any]) -> LlmAnswer | Retry | Rejected:
        """The client types what it parses without a check: a server may have sent anything."""
        try:
            choice, usage = completion.choices[0], completion.usage
            text, refusal = choice.message.content or "", choice.message.refusal
            counts = usage.model_dump(exclude_unset=True) if usage else {}
            reason = choice.finish_reason
        except (LookupError, TypeError, AttributeError):
            return Retry(NO_COMPLETION)
        if refusal or reason == "content_filter":
            return Rejected(f"was declined: {self._safe(refusal)}" if refusal else "was declined by a filter")
        if reason == "length":
            return Rejected("got an answer that was cut off")
        if not isinstance(text, str):
            return Retry(NO_COMPLETION)
        return LlmAnswer(self._redacted(text), counts, parameters)

    def _failure(self, status: int, headers: Any, message: str) -> Retry | Rejected:
        answer = f"answered {status}{f' ({message})' if message else ''}"
        if status in (401, 403):
            key = f"that in {KEY} is not accepted" if self.key else f"none was sent; set {KEY}"
            raise ConfigError(f"{self.url} answered {status}: it expects a key, and {key}.")
        if 300 <= status < 400:
            target = self._safe(headers.get("Location"))
            raise ConfigError(f"{self.url} {answer} and leads to {target}; set rewriter.url to where it is.")
        if status in FATAL_STATUS:
            raise ConfigError(
                f"{self.url} {answer}; expected an endpoint in OpenAI's form that has the model "
                f"{self.settings.model}. Fix rewriter.url or rewriter.model."
            )
        return retry_for(status, headers.get("Retry-After"), answer) or Rejected(answer)

    def _safe(self, text: object) -> str:
        """What a server said, for a message: a line, without the key."""
        line = " ".join(self._redacted(str(text or "")).split())
        return line if len(line) <= 200 else f"{line[:199]}…"

    def _redacted(self, text: str) -> str:
        return text.replace(self.key, "…") if self.key else text


def _bound(response: httpx.Response, max_seconds: float, max_bytes: int) -> None:
    """Limit the size of a body and the time that all of it may take: httpx limits the time of each read alone."""

    class Bounded(httpx.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            started, size = time.monotonic(), 0
            for chunk in source:
                size += len(chunk)
                if size > max_bytes:
                    raise httpx.ReadError(f"more than {max_bytes} bytes", request=response.request)
                if time.monotonic() - started > max_seconds:
                    raise httpx.ReadTimeout("slow", request=response.request)
                yield chunk

        def close(self) -> None:
            source.close()

    source = cast(httpx.SyncByteStream, response.stream)
    response.stream = Bounded()
