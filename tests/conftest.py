"""Shared by all rooms' tests."""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # small tensors: more threads only wait for each other
os.environ.setdefault("KILL_LOOP_SEED", "1")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The seed of the kill loop, to repeat it with."""
    terminalreporter.write_line(f"KILL_LOOP_SEED={os.environ['KILL_LOOP_SEED']}")
