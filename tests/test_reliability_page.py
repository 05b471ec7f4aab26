"""docs/reliability.md names a test for each row, and the test is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "reliability.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| fault")
]


def test_the_page_has_its_rows() -> None:
    assert len(ROWS) >= 30


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_a_row_names_is_a_test(row: list[str]) -> None:
    file = ""
    for path, name in re.findall(r"(\w+/test_\w+)|`(\w+)`", row[-1]):
        if path:
            file = (ROOT / "tests" / f"{path}.py").read_text()
        else:
            assert re.search(rf"^def test_\w*{name}", file, flags=re.MULTILINE), name
    assert file, "it names no test"
