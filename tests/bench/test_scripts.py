"""No benchmark is left behind when a name that it imports changes: most run by hand alone."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.insert(0, str(BENCH))

EXTRA = {"locust"}
"""What only a benchmark uses, and no environment of ours installs."""


def imports(file: Path) -> list[tuple[str, str]]:
    """(module, name) of each `from module import name`, also inside functions."""
    return [
        (node.module, alias.name)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    ]


@pytest.mark.parametrize("script", sorted(BENCH.glob("*.py")), ids=lambda path: path.stem)
def test_every_name_that_a_script_imports_exists(script: Path) -> None:
    for module, name in imports(script):
        if module.split(".")[0] not in EXTRA:
            imported = importlib.import_module(module)
            assert hasattr(imported, name) or importlib.util.find_spec(f"{module}.{name}"), f"{module}.{name}"
