"""Shared by all rooms' tests."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tensors: more threads only wait for each other
os.environ.setdefault("KILL_LOOP_SEED", "1")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes into the person's own cache folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those on Slurm come first: they take longest, and two workers end together only if what is left is short."""
    items.sort(key=lambda item: item.path.parent.name != "slurm")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The seed of the kill loop, to repeat it with."""
    terminalreporter.write_line(f"KILL_LOOP_SEED={os.environ['KILL_LOOP_SEED']}")
