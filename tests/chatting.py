"""A server on this machine that answers as a language model behind OpenAI's form does, or fails to."""

from __future__ import annotations

import json
import time
from typing import Any

from loopback import Handler, Page, Server

PATH = "/v1/chat/completions"
USAGE = {"prompt_tokens": 90, "completion_tokens": 20, "total_tokens": 110}


def completion(text: str | None, **choice: Any) -> bytes:
    message = {"role": "assistant", "content": text, **choice.pop("message", {})}
    found = {
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, **choice}],
        "usage": USAGE,
    }
    return json.dumps(found).encode()


def asked(handler: Handler) -> dict[str, Any]:
    """The request's body."""
    found: dict[str, Any] = json.loads(handler.body)
    return found


def prompt(handler: Handler) -> str:
    return str(asked(handler)["messages"][-1]["content"])


def send(handler: Handler, content: bytes, code: int = 200, **headers: str | int) -> None:
    handler.head(code, Content_Type="application/json", Content_Length=len(content), **headers)
    handler.wfile.write(content)


def model(pause: float = 0.0) -> Page:
    """Rewrites whatever it is asked, after so many seconds."""

    def page(handler: Handler) -> None:
        time.sleep(pause)
        send(handler, completion(f'"{prompt(handler)}, as its people know it."', finish_reason="stop"))

    return page


def says(text: str | None, **choice: Any) -> Page:
    return lambda handler: send(handler, completion(text, **choice))


def fails(code: int, message: str, **headers: str | int) -> Page:
    content = json.dumps({"error": {"message": message}}).encode()
    return lambda handler: send(handler, content, code, **headers)


def hangs_up(handler: Handler) -> None:
    """Half an answer, then nothing."""
    handler.head(200, Content_Type="application/json", Content_Length=1000)
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


def by_prompt(pages: dict[str, Page], other: Page) -> Page:
    """A page for the prompts that hold a word, another for all else."""
    return lambda handler: next((page for word, page in pages.items() if word in prompt(handler)), other)(
        handler
    )


def url(server: Server) -> str:
    return server.url("/v1")
