"""`scoft-hpc rewrite` against a server on this machine: what lands in the file, what is asked again, and kills."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import chat_server
from chat_server import PATH, model, says
from http_server import Server, first, serving, status
from scoft_hpc import rewrite, sweep
from scoft_hpc.config import compose
from scoft_hpc.inputs import prompt_rewrites
from scoft_hpc.inputs.llm_client import KEY
from scoft_hpc.inputs.toy import world
from scoft_hpc.launch.planning import plan
from waiting import wait_until

DOCS = (Path(__file__).parents[2] / "docs" / "ablations.md").read_text()
SECRET = "sk-not-to-be-seen-anywhere"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv(KEY, SECRET)
    with serving() as server:
        server.pages[PATH] = model()
        yield server


def arguments(server: Server, output: Path, file: Path, *more: str) -> list[str]:
    settings = [f"output={output}", f"evaluation.rewrites={file}", f"rewriter.url={chat_server.url(server)}"]
    return [*settings, "rewriter.model=m", *more]


def run(*arguments: str) -> int:
    return rewrite.main(arguments)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_the_file_is_what_a_sweep_reads(
    server: Server, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rewrites.jsonl"
    assert run(*arguments(server, output, file, "culture=[korea,mexico]")) == 0
    captured = capsys.readouterr()
    assert "16 prompts, 0 existed, 0 have none" in captured.out
    prompts = world.prompts("korea")
    assert prompt_rewrites.read(file, "korea") == {
        text: f"{text}, as its people know it." for text in prompts
    }
    first = rows(file)[0]
    assert first["model"] == "m" and first["usage"] == chat_server.USAGE and first["answer"].startswith('"a ')
    assert "culture of korea" in first["instruction"] and first["parameters"] == {"temperature": 0, "seed": 0}
    assert SECRET not in file.read_text() + captured.out + captured.err
    next_line = re.search(r"^next +python -m scoft_hpc\.sweep (.*)$", captured.out, re.MULTILINE)
    assert next_line is not None
    again = [*shlex.split(next_line[1]), "plan=only"]
    planned = plan.build_plan(compose.compose("sweep", again), again)
    assert {run.config.evaluation.rewrites for run in planned.runs} == {None, str(file)}
    n_requests, before = len(server.requests), file.read_bytes()
    assert run(*arguments(server, output, file, "culture=all", "evaluation.prompts=1")) == 0
    assert len(server.requests) == n_requests + 3, "the two cultures that were there are not asked for again"
    assert file.read_bytes().startswith(before)


def test_what_was_declined_is_told_and_asked_again(
    server: Server, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = {"house": says("I'm sorry, but I can't."), "boat": says(" \n"), "tree": status(400)}
    server.pages[PATH] = chat_server.by_prompt({**pages, "cup": says("very " * 60 + "long")}, model())
    file = tmp_path / "rewrites.jsonl"
    assert run(*arguments(server, output, file, "culture=korea")) == 4
    printed = capsys.readouterr().out
    assert "'a house in korea' was declined: \"I'm sorry, but I can't.\"" in printed
    assert "'a boat in korea' got an empty answer" in printed and "'a tree in korea' answered 400" in printed
    assert "note: korea, 'a cup in korea' became 61 words" in printed
    assert len(rows(file)) == 5
    server.pages[PATH], n_requests = model(), len(server.requests)
    assert run(*arguments(server, output, file, "culture=korea")) == 0
    assert len(server.requests) == n_requests + 3 and len(rows(file)) == 8


def test_a_persons_own_row_stays_and_another_models_are_not_mixed_in(
    server: Server, output: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rewrites.jsonl"
    file.write_text(json.dumps({"prompt": "a house in korea", "rewritten": "a hanok"}) + "\n")
    assert run(*arguments(server, output, file, "culture=korea")) == 0
    assert prompt_rewrites.read(file, "korea")["a house in korea"] == "a hanok" and len(server.requests) == 7
    before = file.read_bytes()
    assert run(*arguments(server, output, file, "culture=korea"), "rewriter.tries=1") == 0
    other = tmp_path / "how.txt"
    other.write_text("say {culture}")
    assert run(*arguments(server, output, file, "culture=korea", f"rewriter.instruction={other}")) == 2
    assert "by m, under another instruction" in capsys.readouterr().err
    assert file.read_bytes() == before and len(server.requests) == 7


def test_all_faults_of_the_settings_at_once(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"output={output}", "rewriter.url=ftp://x", "rewriter.tries=0", "evaluation.samples=0") == 2
    printed = capsys.readouterr().err
    for name in (
        "rewriter.url",
        "rewriter.model",
        "rewriter.tries",
        "evaluation.rewrites",
        "evaluation.samples",
    ):
        assert f"- {name}" in printed
    assert run(f"output={output}", "rewriter.url=https://me:secret@host/v1") == 2
    printed = capsys.readouterr().err
    assert "OPENAI_API_KEY" in printed and "secret" not in printed


def test_without_the_package_nothing_starts(
    server: Server,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Hidden as Python itself hides a module: by None where it keeps those that it has imported."""
    monkeypatch.setitem(sys.modules, "openai", None)
    file = tmp_path / "rewrites.jsonl"
    assert run(*arguments(server, output, file, "culture=korea")) == 2
    assert "needs the openai package: pip install 'scoft-hpc[rewrite]'" in capsys.readouterr().err
    assert not server.requests and not file.exists()


@pytest.mark.slow
def test_killed_in_the_middle_nothing_is_asked_twice(server: Server, output: Path, tmp_path: Path) -> None:
    file = tmp_path / "rewrites.jsonl"
    over = threading.Event()
    server.pages[PATH] = first(3, model(), lambda request: over.wait() and None)
    line = [sys.executable, "-m", "scoft_hpc.rewrite", *arguments(server, output, file, "culture=korea")]
    process = subprocess.Popen([*line, "rewriter.jobs=1"], stderr=subprocess.PIPE, text=True)
    # The file is whole at any moment.
    wait_until(lambda: file.exists() and len(rows(file)) >= 3, "three rewrites", process=process)
    process.kill()
    _, printed = process.communicate()
    over.set()
    done = len(rows(file))
    assert done == 3
    server.pages[PATH], n_requests = model(), len(server.requests)
    assert run(*arguments(server, output, file, "culture=korea")) == 0
    assert len(server.requests) == n_requests + 8 - done and len(rows(file)) == 8
    assert SECRET not in printed and os.environ[KEY] == SECRET


@pytest.mark.slow
def test_the_commands_of_the_page(
    server: Server,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Those on baselines, in their order, with the endpoint and the folders of the reader."""
    section = re.search(r"^## Baselines\n(.*?)(?=^## |\Z)", DOCS, flags=re.MULTILINE | re.DOTALL)
    assert section is not None
    text = re.sub(r"\\\n\s+", "", section[1])
    lines = re.findall(r"^ {4}(python -m scoft_hpc\.\S.*)$", text, flags=re.MULTILINE)
    assert len(lines) >= 4
    monkeypatch.chdir(tmp_path)
    world.write_culture(tmp_path / "mydata", "korea", pairs=4, held_out=8)
    for name in ("sdxl", "other"):
        images = sorted((tmp_path / "mydata/korea/test/images").glob("*.png"))
        (tmp_path / "images" / name / "korea").mkdir(parents=True)
        for i in range(24):
            copy = tmp_path / "images" / name / "korea" / f"p{i // 3:02d}-s{i % 3:02d}.png"
            copy.write_bytes(images[i % len(images)].read_bytes())
    commands = {"rewrite": rewrite, "sweep": sweep}
    for line in lines:
        _, _, verb, *typed = shlex.split(line.replace("https://api.openai.com/v1", chat_server.url(server)))
        name = verb.removeprefix("scoft_hpc.")
        typed += [f"output={output}", *(["plan=only"] * (name == "sweep"))]
        code = commands[name].main(typed)
        assert code == 0, line + "".join(capsys.readouterr())
