"""Which code made a run: its commit, and whether anything was changed since."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from scoft_hpc.study import provenance


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A repository of its own that the code seems to lie in."""
    code = tmp_path / "provenance.py"
    code.write_text("x = 1\n")
    monkeypatch.setattr(provenance, "__file__", str(code))
    provenance.commit.cache_clear()
    yield code
    provenance.commit.cache_clear()


def git(code: Path, *arguments: str) -> str:
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    done = subprocess.run(
        ["git", *who, *arguments], cwd=code.parent, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def committed(code: Path) -> str:
    git(code, "init", "--quiet")
    git(code, "add", code.name)
    git(code, "commit", "--quiet", "--message", "first")
    return git(code, "rev-parse", "HEAD")


def test_code_as_it_was_committed(checkout: Path) -> None:
    commit = committed(checkout)
    assert provenance.commit() == {"commit": commit, "dirty": False}


def test_code_changed_since(checkout: Path) -> None:
    commit = committed(checkout)
    checkout.write_text("x = 2\n")
    assert provenance.commit() == {"commit": commit, "dirty": True}


def test_code_that_lies_in_no_repository(checkout: Path) -> None:
    assert provenance.commit() == {"commit": None, "dirty": None}


def test_code_that_its_repository_does_not_know(checkout: Path) -> None:
    other = checkout.with_name("other.py")
    other.write_text("")
    git(other, "init", "--quiet")
    git(other, "add", "other.py")
    git(other, "commit", "--quiet", "--message", "without it")
    assert provenance.commit() == {"commit": None, "dirty": None}
