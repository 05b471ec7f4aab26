"""One image from a real server on this machine that misbehaves on request."""

from __future__ import annotations

import csv
import email.utils
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from download_table import SETTINGS, get, image, metadata, picture, row
from http_server import Route, Server, body, file, first, moved, serving, status
from scoft_hpc.config.command_configs import Download
from scoft_hpc.inputs.download import http


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        yield server


def page_of(server: Server, tmp_path: Path, page: Route, settings: Download = SETTINGS) -> tuple[str, bytes]:
    """What became of one image on this page, beside another that is well: (its reason or "", its bytes)."""
    server.pages |= {"/well": file(picture(0)), "/it": page}
    tmp_path.mkdir(exist_ok=True)
    got = get(tmp_path, [row(0, server.url("/well")), row(1, server.url("/it"))], settings)
    assert image(tmp_path, 0).read_bytes() == picture(0)
    others = [path for path in image(tmp_path, 0).parent.iterdir() if path != image(tmp_path, 0)]
    assert len(others) + len(got.failed) == 1
    assert [r["id"] for r in metadata(tmp_path)] == (["0"] if got.failed else ["0", "1"])
    return (got.failed[0], b"") if got.failed else ("", others[0].read_bytes())


@pytest.mark.slow
@pytest.mark.parametrize("wait", ["0", "1", "date"])
def test_a_crowded_server_is_left_alone_for_as_long_as_it_says(
    server: Server, tmp_path: Path, wait: str
) -> None:
    retry_after = email.utils.formatdate(time.time() + 1, usegmt=True) if wait == "date" else wait
    started = time.monotonic()
    reason, content = page_of(
        server, tmp_path, first(1, status(429, Retry_After=retry_after), file(picture(1)))
    )
    assert (reason, content, server.times("/it")) == ("", picture(1), 2)
    assert wait != "1" or time.monotonic() - started >= 1


def test_an_error_of_the_server_passes(server: Server, tmp_path: Path) -> None:
    assert page_of(server, tmp_path, first(2, status(500), file(picture(1)))) == ("", picture(1))


def test_tries_end(server: Server, tmp_path: Path) -> None:
    reason, _ = page_of(server, tmp_path, status(500))
    assert "answered 500 (the last of 3 tries)" in reason and server.times("/it") == 3


def test_a_file_that_broke_off_is_fetched_again_whole(server: Server, tmp_path: Path) -> None:
    content = picture(1)
    half = body(content[: len(content) // 2], Content_Length=len(content))
    assert page_of(server, tmp_path, first(1, half, file(content))) == ("", content)
    assert server.times("/it") == 2


def test_a_server_that_lies_about_the_length(server: Server, tmp_path: Path) -> None:
    content = picture(1)
    too_much, too_little = 2 * len(content), len(content) // 2
    reason, _ = page_of(server, tmp_path, body(content, Content_Length=too_much))
    assert "peer closed connection" in reason
    reason, _ = page_of(server, tmp_path / "2", body(content, Content_Length=too_little))
    assert "is not a whole image" in reason


def test_a_body_of_no_told_length_that_is_cut_is_tried_again(server: Server, tmp_path: Path) -> None:
    content = picture(1)
    pages = first(1, body(content[:-500], Connection="close"), body(content, Connection="close"))
    assert page_of(server, tmp_path, pages) == ("", content)


@pytest.mark.slow
def test_a_large_file_is_refused_at_its_word_or_in_mid_stream(server: Server, tmp_path: Path) -> None:
    large, small = picture(1, size=600), replace(SETTINGS, megabytes=0.1)
    for n, page in enumerate((file(large), body(large, Connection="close"))):
        reason, _ = page_of(server, tmp_path / str(n), page, small)
        assert "expected at most data.download.megabytes=0.1" in reason
    assert server.times("/it") == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (
            body(b"<html>log in</html>", Content_Type="text/html; charset=utf-8", Content_Length=19),
            "text/html",
        ),
        (file(b"<svg/>", kind="image/svg+xml"), "is not a whole image"),
        (file(picture(1, size=20)), "is 20 x 20; expected 32 pixels"),
        (file(picture(1)[:-300]), "is not a whole image"),
        (status(404), "answered 404 Not Found"),
        (status(410), "answered 410"),
        (moved("/it"), "redirected more than 5 times"),
        (moved("file:///etc/passwd"), "neither http nor https"),
        (body(b"", Content_Encoding="gzip", Content_Length=0), "encoded as gzip"),
    ],
    ids=["html", "svg", "tiny", "torn", "404", "410", "loop", "file", "gzip"],
)
def test_what_no_further_try_would_mend_is_told_at_once(
    server: Server, tmp_path: Path, page: Route, reason: str
) -> None:
    reason_given, _ = page_of(server, tmp_path, page)
    assert reason in reason_given
    assert server.times("/it") == (http.MAX_REDIRECTS + 1 if "redirected" in reason else 1)
    with (tmp_path / "root" / "download-failures.csv").open() as opened:
        (listed,) = csv.DictReader(opened)
    assert (listed["id"], listed["culture"]) == ("1", "korea") and reason in listed["reason"]


def test_redirects_are_followed(server: Server, tmp_path: Path) -> None:
    server.pages["/there"] = file(picture(1))
    assert page_of(server, tmp_path, moved("/there")) == ("", picture(1))
    assert metadata(tmp_path)[1]["url"] == server.url("/it")


def test_a_silent_server_is_given_up(server: Server, tmp_path: Path) -> None:
    silent = body(picture(1)[:100], 1.0, Content_Length=10_000)
    reason, _ = page_of(server, tmp_path, silent, replace(SETTINGS, seconds=0.1, tries=2))
    assert "silent for 0.1 s (the last of 2 tries)" in reason


def test_a_trickle_is_given_up(server: Server, tmp_path: Path) -> None:
    """Never silent, and never done: `seconds` bound that too."""
    content = picture(1)
    pieces = [piece for at in range(40) for piece in (content[at : at + 1], 0.02)]
    pages = first(1, body(*pieces, Content_Length=len(content)), file(content))
    assert page_of(server, tmp_path, pages, replace(SETTINGS, seconds=0.3)) == ("", content)
    assert server.times("/it") == 2
