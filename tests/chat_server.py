"""A server on this machine that answers as a language model behind OpenAI's form does, or fails to."""

from __future__ import annotations

import json
import time
from typing import Any

from http_server import Request, Route, Server

PATH = "/v1/chat/completions"
USAGE = {"prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 110}


def completion(text: str | None, **choice: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, **choice.pop("message", {})}
    return {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, **choice}],
        "usage": USAGE,
    }


def question(request: Request) -> dict[str, Any]:
    """The request's body."""
    content: dict[str, Any] = json.loads(request.body)
    return content


def prompt(request: Request) -> str:
    return str(question(request)["messages"][-1]["content"])


def model(pause: float = 0.0) -> Route:
    """Rewrites whatever it is asked, after so many seconds."""

    def page(request: Request) -> None:
        time.sleep(pause)
        request.send_json(completion(f'"{prompt(request)}, as its people know it."', finish_reason="stop"))

    return page


def says(text: str | None, **choice: Any) -> Route:
    return lambda request: request.send_json(completion(text, **choice))


def fails(code: int, message: str, **headers: str | int) -> Route:
    return lambda request: request.send_json({"error": {"message": message}}, code, **headers)


def hangs_up(request: Request) -> None:
    """Half an answer, then nothing."""
    request.head(200, Content_Type="application/json", Content_Length=1000)
    request.wfile.write(b'{"choices": [')
    request.hang_up()


def by_prompt(pages: dict[str, Route], other: Route) -> Route:
    """A page for the prompts that hold a word, another for all else."""
    return lambda request: next((page for part, page in pages.items() if part in prompt(request)), other)(
        request
    )


def url(server: Server) -> str:
    return server.url("/v1")
