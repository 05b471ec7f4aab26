"""The documentation names files, functions and tests: each of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "paper-map.md").read_text(encoding="utf-8")
REFERENCES = sorted(set(re.findall(r"`((?:[\w-]+/)+(?:[\w-]+\.py)?(?:: \w+)?|tests/[\w./-]+)`", PAGE)))
"""`tests/…`, `folder/`, `folder/file.py` and `folder/file.py: name`; other than tests, below src/scoft_hpc."""


def test_every_row_names_code_and_a_test() -> None:
    rows = [line.split(" | ") for line in PAGE.splitlines() if re.match(r"\| (?!What)[^-]", line)]
    assert len(rows) > 15
    for row in rows:
        assert any(f"`{reference}`" in row[-2] for reference in REFERENCES), row[0]
        assert "`tests/" in row[-1], row[0]


@pytest.mark.parametrize("reference", REFERENCES)
def test_what_the_page_names_exists(reference: str) -> None:
    file, _, name = reference.partition(": ")
    path = ROOT / file if file.startswith("tests/") else ROOT / "src" / "scoft_hpc" / file
    assert path.exists(), f"docs/paper-map.md names {file}, which does not exist"
    if name:
        names = set()
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                names.add(node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
        assert name in names, f"docs/paper-map.md names {name}, which {file} does not define"


def test_every_page_names_files_that_exist() -> None:
    pages = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "BENCHMARKS.md",
        *(ROOT / "docs").rglob("*.md"),
    ]
    missing = [
        f"{page.relative_to(ROOT)} names {file}"
        for page in pages
        for file in re.findall(
            r"(?<![\w/.*…>-])(?:[\w-]+/)+[\w-]+\.(?:py|j2)\b", page.read_text(encoding="utf-8")
        )
        if not any((folder / file).exists() for folder in (ROOT, ROOT / "src" / "scoft_hpc", ROOT / "src"))
    ]
    assert missing == []
