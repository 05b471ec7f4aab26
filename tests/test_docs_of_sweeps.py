"""Every command in the pages on ablations and searches is one that works: each is planned, none is sent."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from scoft_hpc import sweep
from scoft_hpc.config import compose

DOCS = Path(__file__).parents[1] / "docs"
ELSEWHERE = ("DIR", "/nets/", "mydata", "images/")
"""What stands for folders and files of the reader's own."""


def commands(page: str) -> list[list[str]]:
    """The words of the indented `python -m scoft_hpc.sweep …` lines, continued lines joined."""
    text = (DOCS / page).read_text().replace("\\\n", " ")
    lines = re.findall(r"^ {4}python -m scoft_hpc\.sweep (.*)$", text, flags=re.MULTILINE)
    return [shlex.split(line) for line in dict.fromkeys(lines)]


ALL = [command for page in ("ablations.md", "tuning.md") for command in commands(page)]


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("outputs")


@pytest.mark.slow
@pytest.mark.parametrize("command", ALL, ids=" ".join)
def test_a_command_is_planned(command: list[str], output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*command, *([] if "plan=only" in command else ["plan=only"]), f"output={output}"]
    if any(part in " ".join(command) for part in ELSEWHERE):
        compose.compose("sweep", arguments)
        return
    if "cluster=slurm" in arguments:
        arguments.remove("cluster=slurm")  # the plan is the same, and asks no queue
    assert sweep.main(arguments) == 0
    assert "nothing was sent" in capsys.readouterr().out


def test_the_pages_have_commands_and_their_links_lead_somewhere() -> None:
    assert len(ALL) > 7
    for page in ("ablations.md", "tuning.md"):
        links = re.findall(r"\]\(([^)#]+)\)", (DOCS / page).read_text())
        assert all(link.startswith("https://") or (DOCS / link).exists() for link in links)
