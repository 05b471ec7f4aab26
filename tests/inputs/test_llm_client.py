"""Questions to a real server that misbehaves, on this machine: what is asked again, what ends, what is never told."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

import chat_server
from chat_server import PATH, fails, model, says
from http_server import Request, Route, Server, body, first, moved, serving, status
from scoft_hpc.config.command_configs import Rewriter
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.llm_client import KEY, MAX_RESPONSE_BYTES, ChatClient, LlmAnswer, RewriteRequest
from scoft_hpc.inputs.request_queue import Rejected
from scoft_hpc.study.interrupt import Interrupted, StopFlag

SECRET = "sk-not-to-be-seen-anywhere"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")  # what is on this machine goes through none
    monkeypatch.setenv(KEY, SECRET)
    with serving() as server:
        yield server


def ask(
    server: Server,
    *prompts: str,
    stop: StopFlag | None = None,
    max_response_bytes: int = MAX_RESPONSE_BYTES,
    **settings: float,
) -> list[LlmAnswer | Rejected]:
    """What comes of the prompts, in their order."""
    rewriter = replace(Rewriter(url=chat_server.url(server), model="m", tries=3, seconds=0.5), **settings)
    questions = [RewriteRequest("korea", prompt, "say it") for prompt in prompts or ("a house",)]
    client = ChatClient(rewriter, backoff_seconds=0.01, max_response_bytes=max_response_bytes)
    outcomes = dict(client.answers(questions, stop or StopFlag()))
    return [outcomes[question] for question in questions if question in outcomes]


def test_a_question_is_asked_in_the_form_and_answered(server: Server) -> None:
    bodies, keys = [], []

    def page(request: Request) -> None:
        bodies.append(chat_server.question(request))
        keys.append(request.headers["Authorization"])
        model()(request)

    server.pages[PATH] = page
    assert ask(server) == [
        LlmAnswer('"a house, as its people know it."', chat_server.USAGE, {"temperature": 0, "seed": 0})
    ]
    messages = [{"role": "system", "content": "say it"}, {"role": "user", "content": "a house"}]
    assert bodies == [{"model": "m", "messages": messages, "temperature": 0, "seed": 0}]
    assert keys == [f"Bearer {SECRET}"]
    assert all(agent.startswith("scoft-hpc/") for agent in server.user_agents)


@pytest.mark.slow
@pytest.mark.parametrize(
    "trouble",
    [
        status(429, Retry_After=0),
        status(500),
        fails(503, "overloaded"),
        body(b"<html>a proxy's page", close=True),
        says(None, message={"content": ["not", "text"]}),
        body(b'{"choices": []}'),
        body(b"{not json", close=True, Content_Type="application/json"),
        body(b'{"choices": [{"message": null}], "usage": 3}', close=True, Content_Type="application/json"),
        chat_server.hangs_up,
        model(pause=0.7),
    ],
    ids=[
        "429",
        "500",
        "503",
        "html",
        "other json",
        "no choice",
        "torn json",
        "null message",
        "disconnect",
        "slow",
    ],
)
def test_what_may_pass_is_asked_again(server: Server, trouble: Route) -> None:
    server.pages[PATH] = first(1, trouble, model())
    (answer,) = ask(server)
    assert isinstance(answer, LlmAnswer) and server.times(PATH) >= 2


def test_what_does_not_pass_ends(server: Server) -> None:
    server.pages[PATH] = chat_server.by_prompt({"boat": fails(500, f"no {SECRET}")}, model())
    first_answer, second_answer = ask(server, "a house", "a boat")
    assert isinstance(first_answer, LlmAnswer)
    assert second_answer == Rejected("answered 500 (no …) (the last of 3 tries)")


def test_a_slow_drip_is_given_up(server: Server) -> None:
    server.pages[PATH] = body(*([b" ", 0.1] * 20))
    assert ask(server, tries=1) == [Rejected("got no answer within 0.5 s (the last of 1 tries)")]


def test_an_endless_answer_is_given_up(server: Server) -> None:
    server.pages[PATH] = body(b" " * 2000)
    (answer,) = ask(server, tries=1, max_response_bytes=1000)
    assert isinstance(answer, Rejected) and "more than 1000 bytes" in answer.reason


def test_a_server_that_wants_long_peace_is_left_alone(server: Server) -> None:
    server.pages[PATH] = status(429, Retry_After=86400)
    for answer in ask(server, *(f"a house {i}" for i in range(6))):
        assert isinstance(answer, Rejected) and "asked to wait 86400 s" in answer.reason
    assert server.times(PATH) <= 2


@pytest.mark.slow
def test_when_one_is_told_to_wait_all_wait(server: Server) -> None:
    times: list[float] = []

    def page(request: Request) -> None:
        times.append(time.monotonic())
        first(1, status(429, Retry_After=1), model())(request)

    server.pages[PATH] = page
    answers = ask(server, *(f"a house {i}" for i in range(4)), jobs=1)
    assert all(isinstance(one, LlmAnswer) for one in answers) and len(times) == 5
    assert times[1] - times[0] >= 0.9, "no other question was put meanwhile"


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (says(None, message={"refusal": "I will not"}), "was declined: I will not"),
        (says("x", finish_reason="content_filter"), "was declined by a filter"),
        (says("x", finish_reason="length"), "cut off"),
        (fails(400, "too long a text"), "answered 400 (too long a text)"),
    ],
)
def test_a_question_alone_is_refused(server: Server, page: Route, message: str) -> None:
    server.pages[PATH] = chat_server.by_prompt({"boat": page}, model())
    first_answer, second_answer = ask(server, "a house", "a boat")
    assert (
        isinstance(first_answer, LlmAnswer)
        and isinstance(second_answer, Rejected)
        and message in second_answer.reason
    )


def test_what_a_model_does_not_take_is_left_out(server: Server) -> None:
    def page(request: Request) -> None:
        unknown = {"temperature", "seed"} & set(chat_server.question(request))
        (fails(400, f"Unsupported value: '{min(unknown)}'") if unknown else model())(request)

    server.pages[PATH] = page
    answers = ask(server, "a house", "a boat", jobs=1)
    assert [one.parameters for one in answers if isinstance(one, LlmAnswer)] == [{}, {}]
    assert server.times(PATH) == 4  # once for each, and the second question knows


@pytest.mark.parametrize(
    ("page", "message"),
    [
        (
            fails(401, f"wrong key {SECRET}"),
            f"answered 401: it expects a key, and that in {KEY} is not accepted",
        ),
        (fails(404, "no such model"), r"answered 404 \(no such model\); expected an endpoint"),
        (moved("https://elsewhere.example/v1"), "leads to https://elsewhere.example/v1; set rewriter.url"),
    ],
)
def test_what_any_question_would_meet_ends_it_all(server: Server, page: Route, message: str) -> None:
    server.pages[PATH] = page
    with pytest.raises(ConfigError, match=message) as caught:
        ask(server, *(f"a house {i}" for i in range(9)))
    assert SECRET not in str(caught.value)
    assert server.times(PATH) <= 4


def test_without_a_key_the_server_says_so(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY)
    server.pages[PATH] = status(401)
    with pytest.raises(ConfigError, match=f"none was sent; set {KEY}"):
        ask(server)


def test_a_key_does_not_go_over_plain_http(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url(""))  # so that this machine sees what goes to another
    monkeypatch.delenv("NO_PROXY", raising=False)
    headers: list[str] = []

    def page(request: Request) -> None:
        headers.append(str(request.headers))
        model()(request)

    server.pages["http://gpu-node:8000/v1/chat/completions"] = page
    question = RewriteRequest("korea", "a house", "say it")
    with caplog.at_level(logging.WARNING):
        plain = ChatClient(Rewriter(url="http://gpu-node:8000/v1", model="m", tries=1))
        ((_, outcome),) = plain.answers([question], StopFlag())
    assert isinstance(outcome, LlmAnswer) and len(headers) == 1
    assert "authorization" not in headers[0].lower() and SECRET not in headers[0] + caplog.text + repr(plain)
    assert "https only" in caplog.text
    assert ChatClient(Rewriter(url="https://gpu-node/v1")).key == SECRET


def test_answers_under_way_are_waited_for(server: Server) -> None:
    """What was asked may be paid for: an interruption keeps its answer, and asks nothing more."""
    stop, outcomes = StopFlag(), []

    def page(request: Request) -> None:
        stop.requested = True
        model(pause=0.1)(request)

    server.pages[PATH] = page
    settings = Rewriter(url=chat_server.url(server), model="m", jobs=1)
    with pytest.raises(Interrupted):
        for _, outcome in ChatClient(settings).answers(
            [RewriteRequest("korea", f"{i}", "") for i in range(3)], stop
        ):
            outcomes.append(outcome)
    assert len(outcomes) == server.times(PATH) == 1


def test_nobody_listens(server: Server) -> None:
    with serving() as gone:
        pass
    (answer,) = ask(gone, tries=2)
    assert isinstance(answer, Rejected) and "the last of 2 tries" in answer.reason
