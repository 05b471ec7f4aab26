"""Every command of the README does what it says; long ones are shortened by settings, never replaced."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from readme_commands import README, ROOT, SHORT, commands, of_surveys, on_a_cluster
from scoft_hpc.inputs.toy.world import write_culture
from waiting import PATIENCE


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder with the reader's own data in it; a run made by one command is there for the next."""
    path = tmp_path_factory.mktemp("reader")
    write_culture(path / "mydata", "korea", pairs=4, held_out=4)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [command for command in commands(README) if command not in on_a_cluster() + of_surveys()],
    ids=" ".join,
)
def test_command(command: list[str], folder: Path) -> None:
    verb = command[2].removeprefix("scoft_hpc.")
    more = [] if any(argument.startswith("--") for argument in command) else SHORT.get(verb, [])
    arguments = [*command[1:], *(argument for argument in more if argument not in command)]
    ended = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=PATIENCE
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"^ {4}make (\w+)", README, flags=re.MULTILINE)) <= targets


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(links) > 5
    assert all(link.startswith("https://") or (ROOT / link).exists() for link in links)
