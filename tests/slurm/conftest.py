"""One real Slurm for the whole test session."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slurm.machine import Machine, up


def pytest_itemcollected(item: pytest.Item) -> None:
    """Also tests without the fixture `machine` start daemons."""
    item.add_marker("slurm")


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """The machine, up, and Slurm's commands pointed at it for the session."""
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # short: sockets' paths end at 107 characters
    with pytest.MonkeyPatch.context() as patch:
        try:
            machine = up(folder, watched=True)
            for name, value in machine.env.items():
                patch.setenv(name, value)
            yield machine
            machine.down()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def left_quiet(machine: Machine) -> Iterator[Machine]:
    """The machine, with nothing of a module's last test going on after it."""
    yield machine
    machine.quiet()


@pytest.fixture
def cluster(left_quiet: Machine) -> Machine:
    """The machine with every daemon up, every node ready and no job."""
    left_quiet.quiet()
    return left_quiet
