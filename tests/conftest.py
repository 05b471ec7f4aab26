"""Shared by all rooms' tests: the tests' own helper modules can be imported, and torch stays on one thread."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Small tensors are faster so, and results do not depend on the machine's cores."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
