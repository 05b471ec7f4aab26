"""Cultures' folders from a table, by way of a real server on this machine: what is kept, made and told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from download_table import SETTINGS, get, image, metadata, picture, row, write_table
from http_server import Server, file, serving, status
from scoft_hpc.errors import DataError
from scoft_hpc.inputs import dataset
from scoft_hpc.inputs.download.culture_folders import PER_HOST, UNKNOWN, fetch
from scoft_hpc.study.interrupt import Interrupted, StopFlag
from waiting import wait_until


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        yield server


def test_a_table_becomes_folders_that_the_reader_takes(server: Server, tmp_path: Path) -> None:
    kinds = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp"}
    server.pages = {f"/{kind}": file(picture(i, kind)) for i, kind in enumerate(kinds)}
    rows = [row(i, server.url(f"/{kind}"), blip_text="a thing", license="") for i, kind in enumerate(kinds)]
    rows[1] |= {"license": "CC BY 4.0", "country_code": "Nigeria"}
    got = get(tmp_path, rows)
    assert (got.rows, got.failed, got.fetched, got.n_existing) == ({"korea": 2, "nigeria": 1}, [], 3, 0)
    assert got.failures is None and not (tmp_path / "root" / "download-failures.csv").exists()
    assert metadata(tmp_path, "nigeria") == [
        {
            "file_name": "images/Food_drink-1.jpg",
            "text": "a picture, 1",
            "blip_text": "a thing",
            "url": server.url("/JPEG"),
            "license": "CC BY 4.0",
            "category": "Food & drink",
            "id": "1",
        }
    ]
    assert {r["license"] for r in metadata(tmp_path)} == {UNKNOWN}
    read = dataset.read(tmp_path / "root", "korea")
    assert [pair.image.read_bytes() for pair in read.pairs] == [picture(0), picture(2, "WEBP")]
    assert dataset.cultures(tmp_path / "root") == ["korea", "nigeria"]
    assert all(agent.startswith("scoft-hpc/") for agent in server.user_agents)


def test_what_is_done_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    server.pages = {f"/{i}": file(picture(i)) for i in range(4)}
    rows = [row(i, server.url(f"/{i}")) for i in range(4)]
    get(tmp_path, rows[:2])
    before = (tmp_path / "root/korea/train/metadata.jsonl").stat()
    assert get(tmp_path, rows[:2]).n_existing == 2
    assert (tmp_path / "root/korea/train/metadata.jsonl").stat().st_ino == before.st_ino
    image(tmp_path, 0).write_bytes(picture(0)[:-100])  # torn by a disk, say
    image(tmp_path, 1).write_bytes(picture(9))  # a person's own crop
    got = get(tmp_path, rows)
    assert (got.fetched, got.n_existing, got.rows) == (3, 1, {"korea": 4})
    assert [server.times(f"/{i}") for i in range(4)] == [2, 1, 1, 1]
    assert image(tmp_path, 0).read_bytes() == picture(0)
    assert image(tmp_path, 1).read_bytes() == picture(9)


def test_a_persons_words_stay(server: Server, tmp_path: Path) -> None:
    """Rows are known by their id; rows that the table knows nothing of stay, after those of the table."""
    server.pages = {f"/{i}": file(picture(i)) for i in range(3)}
    rows = [row(i, server.url(f"/{i}")) for i in range(3)]
    get(tmp_path, rows[1:])
    path = tmp_path / "root/korea/train/metadata.jsonl"
    mine = [json.loads(line) for line in path.read_text().splitlines()]
    mine[0] |= {"text": "김치찌개, by grandmother", "blip_text": "a stew", "license": "hers"}
    mine.append({"file_name": "images/own.png", "text": "own"})
    path.write_text("".join(json.dumps(line) + "\n" for line in mine))
    assert get(tmp_path, rows).rows == {"korea": 4}
    assert metadata(tmp_path)[1:] == mine
    assert metadata(tmp_path)[0]["id"] == "0"


def test_few_at_a_time_from_a_host(server: Server, tmp_path: Path) -> None:
    server.pages = {f"/{i}": file(picture(i), pause=0.005) for i in range(8)}
    get(tmp_path, [row(i, server.url(f"/{i}")) for i in range(8)], replace(SETTINGS, jobs=8))
    assert server.max_active == PER_HOST == 2


def test_duplicates(server: Server, tmp_path: Path) -> None:
    """A row listed twice counts once; one image under two captions is fetched once; two rows of one id are told."""
    server.pages = {"/a": file(picture(1)), "/b": file(picture(2))}
    a, b = server.url("/a"), server.url("/b")
    rows = [row(1, a), row(1, a), row(2, a), row(3, a, caption="a picture, 1"), row(1, b), row(4, a, "IN")]
    got = get(tmp_path, rows)
    assert got.rows == {"india": 1, "korea": 2} and server.times("/a") == 1 and server.times("/b") == 0
    assert len(got.failed) == 1 and "`__id__` 1 is another row's too" in got.failed[0]
    assert image(tmp_path, 1).read_bytes() == image(tmp_path, 4, culture="india").read_bytes() == picture(1)
    assert len(dataset.cultures(tmp_path / "root")) == 2


def test_a_server_that_wants_long_peace_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    server.pages = {f"/{i}": status(503, Retry_After=86400) for i in range(9)}
    with pytest.raises(
        DataError,
        match=r"korea has no image: 9 rows failed.*rate-limited: the server asked to wait 86\d\d\d s",
    ):
        get(tmp_path, [row(i, server.url(f"/{i}")) for i in range(9)])
    assert len(server.requests) <= PER_HOST


def test_nobody_listens(tmp_path: Path, server: Server) -> None:
    with serving() as gone:
        url = gone.url("/it")
    server.pages["/well"] = file(picture(0))
    got = get(tmp_path, [row(0, server.url("/well")), row(1, url)])
    assert "refused" in got.failed[0] and "3 tries" in got.failed[0]


def test_a_stop_keeps_what_came(server: Server, tmp_path: Path) -> None:
    stop = StopFlag()

    def page(request: Any) -> None:
        stop.requested = True
        file(picture(1), pause=0.01)(request)

    server.pages = {"/0": file(picture(0)), "/1": page}
    rows = [row(i, server.url(f"/{i}")) for i in range(2)]
    with pytest.raises(Interrupted):
        get(tmp_path, rows, stop=stop)
    assert not image(tmp_path, 1).exists()
    assert get(tmp_path, rows).rows == {"korea": 2}
    assert server.times("/1") == 2


@pytest.mark.slow
def test_a_killed_process_loses_only_the_files_in_flight(server: Server, tmp_path: Path) -> None:
    """kill -9 with some images done and others in flight: the next call fetches the rest, and none of those done."""
    server.pages = {f"/{i}": file(picture(i), pause=0.005 if i < 3 else 0.03) for i in range(12)}
    rows = [row(i, server.url(f"/{i}")) for i in range(12)]
    arguments = [str(write_table(tmp_path / "ccub.csv", rows)), str(tmp_path / "root")]
    program = (
        "import sys; from pathlib import Path; from scoft_hpc.config.command_configs import Download;"
        "from scoft_hpc.inputs.download.culture_folders import fetch; from scoft_hpc.study.interrupt import StopFlag;"
        "fetch(Path(sys.argv[1]), Path(sys.argv[2]), Download(), None, StopFlag())"
    )
    child = subprocess.Popen([sys.executable, "-c", program, *arguments])
    try:
        done = tmp_path / "root" / ".download" / "done.jsonl"
        wait_until(
            lambda: done.exists() and len(done.read_bytes().splitlines()) >= 3 and server.active,
            "three images, and others in flight",
            process=child,
        )
    finally:
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    images = list((tmp_path / "root" / "korea" / "train" / "images").glob("[!.]*.png"))
    assert 3 <= len(images) < 12
    for path in images:
        assert path.read_bytes() == picture(int(path.stem.rpartition("-")[2]))
    recorded = {f"/{json.loads(line)['id']}" for line in done.read_text().splitlines() if line.endswith("}")}
    done.write_bytes(done.read_bytes() + b'{"culture": "kor')
    n_requests = len(server.requests)
    got = get(tmp_path, rows)
    assert got.rows == {"korea": 12} and got.n_existing >= 3
    assert got.n_existing == len(recorded) >= len(images) - 1, "at most the one just written had no line yet"
    assert sorted(server.requests[n_requests:]) == sorted({f"/{i}" for i in range(12)} - recorded)
    assert [image(tmp_path, i).read_bytes() for i in range(12)] == [picture(i) for i in range(12)]


def test_two_at_once_are_refused(server: Server, tmp_path: Path) -> None:
    errors: list[str] = []

    def page(request: Any) -> None:
        with pytest.raises(DataError) as caught:
            get(tmp_path, [row(0, server.url("/0"))])
        errors.append(str(caught.value))
        file(picture(0))(request)

    server.pages = {"/0": page}
    assert get(tmp_path, [row(0, server.url("/0"))], replace(SETTINGS, seconds=5)).rows == {"korea": 1}
    assert "images cannot be fetched into" in errors[0] and f"process {os.getpid()}" in errors[0]


def test_a_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    server.pages = {"/0": file(picture(0))}
    (tmp_path / "root" / "korea").mkdir(parents=True)
    (tmp_path / "root" / "korea" / "train").write_text("a file where a folder should be")
    with pytest.raises(DataError, match="korea/train"):
        get(tmp_path, [row(0, server.url("/0"))])


def test_a_metadata_that_is_none_is_told_before_anything_is_fetched(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "root" / "korea" / "train" / "metadata.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text('{"id": "1"}\nnot json\n')
    with pytest.raises(DataError, match=r"metadata\.jsonl, row 2: not a JSON object"):
        get(tmp_path, [row(0, server.url("/0"))])
    assert not server.requests


def test_only_the_cultures_asked_for(server: Server, tmp_path: Path) -> None:
    server.pages = {"/0": file(picture(0))}
    rows = [row(0, server.url("/0")), row(1, server.url("/1"), "MX"), row(2, "ftp://x/y", "MX")]
    path = write_table(tmp_path / "ccub.csv", rows)
    got = fetch(path, tmp_path / "root", SETTINGS, ["korea"], StopFlag())
    assert got.rows == {"korea": 1} and not got.failed and len(server.requests) == 1
    with pytest.raises(DataError, match=r"no row of atlantis; it has korea, mexico"):
        fetch(path, tmp_path / "root", SETTINGS, ["korea", "atlantis"], StopFlag())
