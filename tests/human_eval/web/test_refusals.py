"""Invalid requests: each gets an error page with the right status, and changes nothing."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi.testclient import TestClient
from itsdangerous import TimestampSigner

from human_eval.web.survey_client import (
    CULTURES,
    RANKS,
    SECRET,
    Person,
    World,
    create_world,
    enrolled_person,
    path_of,
    stored_answer,
    tasks,
)
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.human_eval.web import rater_sessions
from scoft_hpc.human_eval.web.app import create
from scoft_hpc.human_eval.web.headers import POLICY
from scoft_hpc.human_eval.web.rater_sessions import SESSION_SECONDS, EnrolmentSession, SessionSigner
from surveys import SYSTEMS

TYPE = {"Content-Type": "application/x-www-form-urlencoded"}


def assert_refused(response: httpx.Response, status: int, phrase: str = "") -> None:
    assert response.status_code == status, response.text
    assert "<h1" in response.text
    assert "Traceback" not in response.text
    assert phrase in response.text
    assert response.headers["content-security-policy"] == POLICY
    assert response.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/pages", "/pages/1/match", "/link", "/end", "/withdraw", "/images/x.png"])
def test_without_a_session_a_page_asks_for_the_link(world: World, path: str) -> None:
    assert_refused(world.client().get(path), 401, "Please open your link")


@pytest.mark.parametrize("path", ["/consent", "/join"])
def test_a_form_without_an_enrolment_session_is_refused(world: World, path: str) -> None:
    assert_refused(world.client().post(path, data={"agree": "yes"}), 401, "A browser that keeps no cookies")


@pytest.mark.parametrize("path", ["/pages/1/match", "/withdraw", "/settings", "/leave", "/payment"])
def test_a_form_without_a_token_or_with_anothers_is_refused(world: World, settled: Person, path: str) -> None:
    for token in (
        {},
        {"csrf": ""},
        {"csrf": "forged"},
        {"csrf": "é"},
        {"csrf": enrolled_person(world).token()},
    ):
        body = {**{f"rank-{i}": "1" for i in range(1, 5)}, **token}
        assert_refused(settled.client.post(path, data=body), 403, "This form is not yours")
    assert stored_answer(world, settled, tasks(world, settled)[0], "match") is None


def test_an_old_tab_of_another_session_changes_nothing(world: World, rater: Person) -> None:
    other = enrolled_person(world)
    rater.open("/pages")
    rater.client.cookies = other.client.cookies
    assert_refused(rater.send(**RANKS), 403, "To my pages")


def test_a_session_is_signed_and_ends(world: World, rater: Person) -> None:
    links, rater_id = SessionSigner(SECRET, world.url), rater.rater_id(world)

    def status_with(cookie: str) -> int:
        return world.client(cookies={"session": cookie}).get("/link").status_code

    class Old(TimestampSigner):
        def get_timestamp(self) -> int:
            return super().get_timestamp() - SESSION_SECONDS - 60

    signer = links._session
    old = Old(SECRET, salt=signer.salt, digest_method=signer.digest_method).sign(rater_id).decode()
    assert status_with(links.session(rater_id)) == 200
    assert status_with(links.session("0" * 32)) == 410
    assert status_with(links.session(rater_id)[:-1]) == 401
    assert status_with(old) == 401
    assert (
        status_with(SessionSigner(b"another secret of the same length", world.url).session(rater_id)) == 401
    )
    for other in (
        rater_id,
        links.form(rater_id),
        links.admin(),
        urlsplit(links.resume_link(rater_id)).path.split("/")[-1],
        "a.b.c",
        "",
    ):
        assert status_with(other) == 401


def test_a_clock_that_is_set_back_ends_no_session(
    world: World, rater: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time()
    links = SessionSigner(SECRET, world.url)
    cookies = {
        "session": links.session(rater.rater_id(world)),
        "visit": links.visit(EnrolmentSession("1" * 32)),
        "admin": links.admin(),
    }
    monkeypatch.setattr(rater_sessions, "time", SimpleNamespace(time=lambda: now - 3600))
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _: int(now - 3600))
    assert links.rater(cookies["session"]) == rater.rater_id(world)
    assert links.read_enrolment(cookies["visit"]) == EnrolmentSession("1" * 32)
    assert links.is_admin(cookies["admin"])
    monkeypatch.setattr(rater_sessions, "time", SimpleNamespace(time=lambda: now + SESSION_SECONDS + 60))
    assert links.rater(cookies["session"]) is None
    assert links.read_enrolment(cookies["visit"]) is None
    assert not links.is_admin(cookies["admin"])


def test_a_link_is_signed(world: World, rater: Person) -> None:
    link = urlsplit(world.app.state.survey_app.signer.resume_link(rater.rater_id(world))).path
    session = world.app.state.survey_app.signer.session(rater.rater_id(world))
    for path in (
        link[:-1],
        f"/resume/{rater.rater_id(world)}",
        f"/resume/{session}",
        "/resume/%00",
        "/resume/é",
    ):
        assert_refused(world.client().get(path), 404, "This link is not complete")
    assert world.client().get(link).status_code == 303


@pytest.mark.parametrize(
    "path",
    [
        *("/pages/0/match", "/pages/6/match", "/pages/-1/match", "/pages/1e0/match", "/pages/٣/match"),
        *("/pages/1/nothing", "/pages/1", "/pages/" + "9" * 5000 + "/match", "/pages/1/match%00", "/nowhere"),
        *("/images/..%2fanswers.db", "/images/%2e%2e%2fanswers.db", "/images/..", "/images/%00", "/images/"),
        *(
            "/images/....//answers.db",
            "/images/%5c..%5canswers.db",
            "/images/C:answers.db",
            "/docs",
            "/openapi.json",
        ),
    ],
)
def test_there_is_nothing_else(world: World, settled: Person, path: str) -> None:
    """The path as it stands: clients would tidy it up."""
    host = urlsplit(world.url)
    cookie = f"session={settled.client.cookies['session']}"
    with socket.create_connection((str(host.hostname), host.port or 0)) as line:
        head = f"GET {path} HTTP/1.1\r\nHost: {host.netloc}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
        line.sendall(head.encode())
        answer = b"".join(iter(lambda: line.recv(65536), b"")).decode()
    status = int(answer.split(" ", 2)[1])
    assert status in ((404, 400) if "٣" in path else (404,)), answer
    assert status == 400 or "There is nothing here" in answer


@pytest.mark.parametrize("path", ["/consent/", "/pages/", "/resume/a.b/", "/admin/", "/images/x.png/"])
def test_no_redirect_follows_the_host_header(world: World, path: str) -> None:
    """A redirect to an address made of the Host header leads elsewhere, and from https to http with a rater's link."""
    response = world.client(headers={"Host": "elsewhere.example"}).get(path)
    assert_refused(response, 404)
    assert "location" not in response.headers


def test_a_rater_gets_only_the_images_of_their_pages(world: World, settled: Person) -> None:
    own_images = {name for task in tasks(world, settled) for name in task.order}
    other_images = set(world.key) - own_images
    assert own_images
    assert other_images
    assert {settled.client.get(f"/images/{name}").status_code for name in own_images} == {200}
    assert {settled.client.get(f"/images/{name}").status_code for name in other_images} == {404}
    assert {world.client().get(f"/images/{name}").status_code for name in own_images} == {401}


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"--x--", {"Content-Type": "multipart/form-data; boundary=x"}, 415),
        (b"do=save", {}, 415),
        (b"do=%ff%fe", TYPE, 400),
        ("do=é".encode(), TYPE, 400),
        (b"do=save%00", TYPE, 400),
        (b"a\0=1", TYPE, 400),
        (b"&".join(b"a%d=1" % i for i in range(100)), TYPE, 400),
        (b"a=" + b"x" * 65536, TYPE, 413),
        (b"", TYPE, 403),
    ],
)
def test_bodies_that_are_no_form_of_ours(
    world: World, settled: Person, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert_refused(settled.client.post("/pages/1/match", content=body, headers=headers), status)


def test_a_body_without_end_is_cut_off(world: World, settled: Person) -> None:
    """In pieces, with no length said beforehand: it is refused long before it would be held whole."""
    sent = 0

    def pieces() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b"a" * 65536

    with TestClient(world.app, base_url=world.url, cookies=dict(settled.client.cookies)) as client:
        response = client.post("/pages/1/match", content=pieces(), headers=TYPE)
    assert_refused(response, 413, "That is too much")


def test_a_form_that_breaks_off_is_no_fault(
    world: World, settled: Person, caplog: pytest.LogCaptureFixture
) -> None:
    host = urlsplit(world.url)
    head = f"POST /pages/1/match HTTP/1.1\r\nHost: {host.netloc}\r\nContent-Type: {TYPE['Content-Type']}\r\n"
    with socket.create_connection((str(host.hostname), host.port or 0)) as line:
        line.sendall(f"{head}Content-Length: 1000\r\n\r\ndo=save".encode())
    for _ in range(20):  # the server's loop has seen it by now
        assert settled.client.get("/icon.svg").status_code == 200
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    "fields",
    [
        *({"rank-5": "1"}, {"rank-0": "1"}, {"rank-x.png": "1"}, {"position": "3"}, {"rank-1": ["1", "2"]}),
        *({"do": "up-5"}, {"do": "up-0"}, {"do": "down"}, {"do": "delete"}, {"do": "up-1; --"}),
    ],
)
def test_what_the_page_does_not_have(
    world: World, settled: Person, fields: dict[str, str | list[str]]
) -> None:
    settled.open("/pages/1/match")
    body = {"csrf": settled.token(), **{f"rank-{i}": "1" for i in range(1, 5)}, **fields}
    assert_refused(settled.client.post("/pages/1/match", data=body), 422, "does not belong to this page")
    assert stored_answer(world, settled, tasks(world, settled)[0], "match") is None


@pytest.mark.parametrize("rank", ["0", "5", "-1", "1.0", "one", "１", "9" * 5000, "1;2", "<b>"])
def test_ranks_out_of_range_are_reported_and_not_stored(world: World, rater: Person, rank: str) -> None:
    task = tasks(world, rater)[0]
    rater.open(path_of(task, "match"))
    response = rater.send(**{**RANKS, "rank_2": rank}, rating_1="6")
    assert_refused(response, 422, "The rank of image B must be a number from 1 to 4")
    assert "The rating of image A must be a number from 1 to 5" in response.text
    answer = stored_answer(world, rater, task, "match")
    assert answer is not None
    assert answer.draft
    assert sorted(answer.ranks.values()) == [1, 3, 4]


def test_a_reason_that_is_too_long_is_reported_and_stays_in_the_form(world: World, rater: Person) -> None:
    task = tasks(world, rater)[0]
    rater.open(path_of(task, "offence"))
    assert_refused(rater.send(**RANKS, offended_3="yes", reason_3="é" * 501), 422, "500 characters at most")
    answer = stored_answer(world, rater, task, "offence")
    assert answer is not None
    assert answer.draft
    rater.open(path_of(task, "offence"))
    assert rater.send(**RANKS, offended_3="yes", reason_3="é" * 500).status_code == 200


def test_only_the_offence_question_asks_for_offence(world: World, rater: Person) -> None:
    task = tasks(world, rater)[0]
    rater.open(path_of(task, "match"))
    rater.send(**RANKS, offended_1="yes", reason_1="no")
    answer = stored_answer(world, rater, task, "match")
    assert answer is not None
    assert answer.offended == {}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST"])
def test_other_methods(world: World, method: str) -> None:
    response = world.client().request(method, "/")
    assert_refused(response, 405)
    assert response.headers["allow"] == "GET"


def test_refusals_speak_the_visitors_language(world: World) -> None:
    client = world.client(headers={"Accept-Language": "de;q=0.4, ar-EG, en;q=0.5"})
    assert_refused(client.get("/nowhere"), 404, "لا يوجد شيء هنا")
    assert '<html lang="ar" dir="rtl">' in client.get("/").text
    client.post("/language", data={"language": "en", "back": "/"})
    assert_refused(client.get("/nowhere"), 404, "There is nothing here")
    for body in ({"language": "xx", "back": "/"}, {"language": "en", "back": "//evil.example"}):
        assert_refused(client.post("/language", data=body), 422)


@pytest.mark.parametrize(
    "header", ["", ",;q=", "x" * 5000, "en;q=9", "*", "ar;q=0, en", "zh-Hant-TW-x-y", "ÿ"]
)
def test_any_language_header_is_accepted(world: World, header: str) -> None:
    response = world.client().get("/", headers=[(b"Accept-Language", header.encode("latin-1"))])
    assert '<html lang="en" dir="ltr">' in response.text


@pytest.mark.parametrize(
    ("damage", "status", "phrase"),
    [
        ("UPDATE tasks SET \"order\" = '['", 500, "It is not your fault. What you saved before is kept"),
        ("DROP TABLE answers", 503, "Please try again in a moment"),
    ],
)
def test_an_internal_error_has_a_page_that_says_so(
    tmp_path: Path, damage: str, status: int, phrase: str
) -> None:
    """A database that somebody has damaged."""
    survey = Survey("Images", "toy", SYSTEMS, dict.fromkeys(CULTURES, 3), pages=2)
    with closing((world := create_world(tmp_path, survey, "http://127.0.0.1")).store):
        rater = world.store.enrol("korea", "member", "", "en", "en-0", True)
        with closing(sqlite3.connect(tmp_path / "answers.db")) as database, database:
            database.execute(damage)
        with TestClient(world.app, raise_server_exceptions=False) as client:
            client.cookies = {"session": world.app.state.survey_app.signer.session(rater.id)}
            assert_refused(client.get("/pages/1/match"), status, phrase)


def test_cookies_are_hidden_from_scripts_and_other_sites(world: World, rater: Person) -> None:
    path = urlsplit(world.app.state.survey_app.signer.resume_link(rater.rater_id(world))).path
    response = world.client().get(path)
    (session,) = [
        header for header in response.headers.get_list("set-cookie") if header.startswith("session=")
    ]
    assert "HttpOnly" in session
    assert "SameSite=lax" in session
    assert "Secure" not in session


def test_by_https_no_neighbour_of_the_host_can_set_a_cookie(world: World) -> None:
    """Another site below example.edu could else plant a visit of its own, and read what its victim says under it."""
    app = create(world.store, world.survey, Path(), SECRET, "https://survey.example.edu")
    with TestClient(app, base_url=app.state.survey_app.signer.address) as client:
        person = Person(client, client.get("/consent"))
        person.send(agree="yes")
        person.send(culture="korea", affiliation="member")
        pages = [
            person.page,
            client.post("/admin/login", data={"token": app.state.survey_app.signer.admin_token}),
        ]
        pages += [client.get("/pages/1/match"), person.send("/leave"), client.get("/link")]
        assert [item.status_code for item in pages] == [200, 200, 200, 200, 401]
        responses = [response for item in pages for response in (*item.history, item)]
        cookies = [item for response in responses for item in response.headers.get_list("set-cookie")]
    assert {item.partition("=")[0] for item in cookies} == {
        f"__Host-{name}" for name in ("visit", "session", "language", "admin")
    }
    for cookie in cookies:  # or a browser takes none of this name, and deletes none
        assert {"secure", "path=/"} <= set(cookie.lower().split("; "))


def test_headers_of_pages_and_images(world: World, rater: Person) -> None:
    task = tasks(world, rater)[0]
    page = rater.open("/pages/1/match")
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["content-security-policy"] == POLICY
    for path in (f"/images/{task.order[0]}", "/style.css", "/icon.svg"):
        assert (
            rater.client.get(path).headers["cache-control"].startswith("private, max-age=31536000, immutable")
        )
    for response in (page, rater.client.get("/style.css"), rater.client.get("/nowhere")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
        assert "server" not in response.headers
    assert "<script" not in page.text
    assert "http" not in page.text.replace(world.url, "")
