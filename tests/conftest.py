"""What all tests share: an own cache directory, their order, and the groups that this machine can run."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import wandb_server as wandb
from groups import GROUPS

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tensors: more threads only wait for each other
os.environ.setdefault("KILL_LOOP_SEED", "1")

NOT_RUN = pytest.StashKey[Counter[str]]()
"""How many tests of each group were left out."""


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No test writes into the user's own cache directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def wandb_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[wandb.WandbServer]:
    """A W&B server of this test, and wandb's client pointed at it; it knows every operation that it is asked for."""
    with wandb.serving() as server:
        for name, value in server.environment(tmp_path / "config").items():
            monkeypatch.setenv(name, value)
        yield server
        assert server.unknown_operations == []


def pytest_configure(config: pytest.Config) -> None:
    config.stash[NOT_RUN] = Counter()
    missing = [f"{group.name}: {reason}" for group in GROUPS if (reason := group.missing())]
    if os.environ.get("REQUIRE_ALL") == "1" and missing:
        raise pytest.UsageError("REQUIRE_ALL=1, but some groups cannot run here. " + "; ".join(missing))


def pytest_itemcollected(item: pytest.Item) -> None:
    """A test that uses a group's fixture belongs to the group."""
    for group in GROUPS:
        if group.fixture in getattr(item, "fixturenames", ()):
            item.add_marker(group.name)


@pytest.hookimpl(
    trylast=True
)  # after -m and -k, so that only tests that were asked for are reported as left out
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the groups that cannot run here, and mix the tests on Slurm with the others."""
    missing = {group.name for group in GROUPS if group.missing()}
    selected, left_out = [], []
    for item in items:
        groups = [name for name in missing if item.get_closest_marker(name)]
        (left_out if groups else selected).append(item)
        config.stash[NOT_RUN].update(groups[:1])
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    items[:] = _mixed(selected)


def _mixed(items: list[pytest.Item]) -> list[pytest.Item]:
    """A file on Slurm and another one in turn: the former mostly wait, and the latter compute."""
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    on_slurm = [file for file in files.values() if file[0].get_closest_marker("slurm")]
    others = [file for file in files.values() if not file[0].get_closest_marker("slurm")]
    turns = itertools.chain.from_iterable(itertools.zip_longest(on_slurm, others, fillvalue=[]))
    return list(itertools.chain.from_iterable(turns))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # a worker of pytest-xdist
        session.config.workeroutput["not_run"] = dict(session.config.stash[NOT_RUN])


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Every worker collects all tests, so each one's count is that of the whole run."""
    node.config.stash[NOT_RUN] |= Counter(getattr(node, "workeroutput", {}).get("not_run", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The seed of the kill loop, to repeat it with, and a line for each group that did not run."""
    terminalreporter.write_line(f"KILL_LOOP_SEED={os.environ['KILL_LOOP_SEED']}")
    for group in GROUPS:
        if count := config.stash[NOT_RUN][group.name]:
            terminalreporter.write_line(
                f"not run: {count} tests of the group {group.name} ({group.missing()}); to run them: {group.enable}"
            )
