"""What holds for every test module."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent


def imported_modules(file: Path) -> set[str]:
    """The last part of each module that a file imports, and each name that it imports from a module."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            names |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {part for alias in node.names for part in alias.name.split(".")}
    return names


def test_nothing_is_imported_from_a_test_module_or_a_conftest() -> None:
    """What tests share is in a helper module or a fixture; a conftest imported by name is loaded a second time."""
    modules = {file.stem for file in TESTS.rglob("test_*.py")} | {"conftest"}
    files = sorted(TESTS.rglob("*.py"))
    assert len(files) > 100
    imports = {str(file.relative_to(TESTS)): imported_modules(file) & modules for file in files}
    assert {file: names for file, names in imports.items() if names} == {}
