"""A copy of the base that ships, to harm."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from scoft_hpc.inputs.toy.world import ASSETS


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches of the test's own."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ASSETS / "base", tmp_path / "base"))
