"""The templates as texts, the pages that tell of them, and `fetch.sh`, which needs no Slurm."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sbatch.hub import serving
from scoft_hpc import __main__
from scoft_hpc.config import compose
from waiting import PATIENCE

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "sbatch"
BASE = ROOT / "src/scoft_hpc/inputs/toy/assets/base"
TEMPLATES = sorted(FOLDER.glob("*.sbatch"))
SCRIPTS = [*TEMPLATES, FOLDER / "fetch.sh"]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_it_is_bash_says_how_it_is_called_and_is_edited_in_one_place(path: Path) -> None:
    text = path.read_text()
    subprocess.run(["bash", "-n", path], check=True)
    assert text.startswith("#!/bin/bash\n# ")
    caller = "bash" if path.suffix == ".sh" else "sbatch"
    assert re.search(rf"^#     {caller} .*sbatch/{re.escape(path.name)} ", text, flags=re.MULTILINE)
    assert text.count("# ---- edit here") == text.count("# ---- up to here") == 1
    assert "\nset -euo pipefail\n" in text


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_sbatch_reads_every_directive(path: Path) -> None:
    """It stops reading at the first command."""
    lines = path.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line and not line.startswith("#"))
    assert not [line for line in lines[first:] if line.startswith("#SBATCH")]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_the_site_stands_in_the_place_to_edit(path: Path) -> None:
    before, rest = path.read_text().split("# ---- edit here")
    edited, after = rest.split("# ---- up to here")
    assert "--partition=" in edited and "##SBATCH --account=" in edited and "module load" in edited
    assert not re.search(r"--partition|--account|--gpus|module load", before + after)


def test_the_readme_names_every_file() -> None:
    readme = (FOLDER / "README.md").read_text()
    assert [
        path.name for path in FOLDER.iterdir() if path.name != "README.md" and path.name not in readme
    ] == []


def fetch(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHON": sys.executable, **environment}
    command = ["bash", str(FOLDER / "fetch.sh"), *arguments]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=PATIENCE)


@pytest.mark.slow
def test_weights_come_whole_though_jobs_are_set_offline(tmp_path: Path) -> None:
    with serving(BASE, "someone/small-model") as address:
        offline = {"HF_ENDPOINT": address, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "cache")}
        done = fetch("weights", "someone/small-model", str(tmp_path / "model"), **offline)
    assert done.returncode == 0, done.stderr
    names = {str(path.relative_to(BASE)) for path in BASE.rglob("*") if path.is_file()}
    assert all((tmp_path / "model" / name).read_bytes() == (BASE / name).read_bytes() for name in names)


def test_weights_that_cannot_be_reached_are_an_error(tmp_path: Path) -> None:
    unreachable = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path / "cache")}
    done = fetch("weights", "someone/small-model", str(tmp_path / "model"), **unreachable)
    assert done.returncode != 0 and done.stderr


@pytest.mark.slow
def test_wheels_take_pips_words(tmp_path: Path) -> None:
    done = fetch("wheels", str(tmp_path), "--no-deps", "iniconfig")
    assert done.returncode == 0, done.stderr
    assert [path.suffix for path in tmp_path.iterdir()] == [".whl"]


@pytest.mark.parametrize("arguments", [[], ["weights"], ["weights", "a/b"], ["wheels"], ["all", "x", "y"]])
def test_other_words_are_told_the_right_ones(arguments: list[str]) -> None:
    done = fetch(*arguments)
    assert done.returncode == 2 and "expected: fetch.sh weights MODEL FOLDER" in done.stderr


def commands(page: Path) -> list[list[str]]:
    """The indented `python -m scoft_hpc...` lines of a page, without their comments."""
    lines = re.findall(r"^ {4}(python -m scoft_hpc\.\S.*)$", page.read_text(), flags=re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


PAGES = [ROOT / "docs" / "bridges2.md", FOLDER / "README.md"]


@pytest.mark.parametrize(
    "arguments", [arguments for page in PAGES for arguments in commands(page)], ids=" ".join
)
def test_commands_of_the_pages_exist_and_take_their_words(arguments: list[str]) -> None:
    verb = arguments[2].removeprefix("scoft_hpc.")
    assert verb in __main__.COMMANDS
    if verb in ("sweep", "doctor", "train"):
        assert compose.compose("train" if verb == "train" else "sweep", arguments[3:])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_are_there(page: Path) -> None:
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("https://")]
    files = re.findall(r"\b(?:sbatch|conf)/[\w./-]+\.(?:sbatch|sh|def|yaml)", text)
    assert all((page.parent / link).exists() for link in links) and all(
        (ROOT / name).exists() for name in files
    )
