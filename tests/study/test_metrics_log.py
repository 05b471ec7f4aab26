"""metrics.jsonl: whole rows only, whatever was cut, and none of a lost attempt's."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from scoft_hpc.study import metrics_log
from scoft_hpc.study.metrics_log import STEP, MetricsLog

FOR_EVER = """
import sys
from pathlib import Path
from scoft_hpc.study.metrics_log import STEP, MetricsLog
journal = MetricsLog(Path(sys.argv[1]), 0)
step = 0
while True:
    step += 1
    journal.append({STEP: step, "loss": 1 / step, "why": "x" * 3000})
    print(step, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


def _write(path: Path, *steps: int, after: int = 0) -> None:
    log = MetricsLog(path, after)
    for step in steps:
        log.append({STEP: step, "loss": step / 2})
    log.sync()
    log.close()


def _steps(path: Path) -> list[int]:
    return [row[STEP] for row in metrics_log.read(path)]


def test_rows_come_back(path: Path) -> None:
    _write(path, 1, 2, 3)
    assert list(metrics_log.read(path)) == [{STEP: i, "loss": i / 2} for i in (1, 2, 3)]
    assert metrics_log.last(path) == {STEP: 3, "loss": 1.5}


def test_row_is_there_once_append_returns(path: Path) -> None:
    log = MetricsLog(path, 0)
    log.append({STEP: 1})
    assert _steps(path) == [1]
    log.close()


def test_continuing_cuts_what_the_checkpoint_does_not_have(path: Path) -> None:
    _write(path, 1, 2, 3, 4, 5)
    _write(path, 4, after=3)
    assert _steps(path) == [1, 2, 3, 4]


def test_starting_anew_empties(path: Path) -> None:
    _write(path, 1, 2)
    _write(path)
    assert path.read_bytes() == b""
    assert metrics_log.last(path) is None


@pytest.mark.parametrize(
    "torn", [b'{"trainer/st', b'{"trainer/step": 4', b"\x00\x00\x00", b"\xff\xfe\n", b"7\n", b"{}\n"]
)
def test_torn_line_is_left_out_and_cut(path: Path, torn: bytes) -> None:
    _write(path, 1, 2, 3)
    with path.open("ab") as file:
        file.write(torn)
    assert _steps(path) == [1, 2, 3]
    last = metrics_log.last(path)
    assert last is not None
    assert last[STEP] == 3
    _write(path, 4, after=3)
    assert _steps(path) == [1, 2, 3, 4]
    for line in path.read_text().splitlines():
        json.loads(line)


def test_killed_writer_leaves_whole_rows(path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", FOR_EVER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for _ in range(50):
        process.stdout.readline()
    process.kill()
    reported = process.communicate()[0].split()
    steps = _steps(path)
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) >= (int(reported[-1]) if reported else 50)


def test_zombie_writes_beside_the_new_journal(path: Path) -> None:
    """A superseded owner that still has the file open cannot write into its successor's."""
    zombie = MetricsLog(path, 0)
    zombie.append({STEP: 1, "loss": 1.0})
    _write(path, 1, 2)
    zombie.append({STEP: 2, "loss": 99.0})
    zombie.close()
    assert [row["loss"] for row in metrics_log.read(path)] == [0.5, 1.0]


def test_numbers_that_json_has_not_become_null(path: Path) -> None:
    log = MetricsLog(path, 0)
    log.append({STEP: 1, "loss": float("nan"), "grad_norm": float("inf"), "lr": 0.1})
    log.close()
    assert list(metrics_log.read(path)) == [{STEP: 1, "loss": None, "grad_norm": None, "lr": 0.1}]


def test_last_of_a_long_journal_reads_only_its_end(path: Path) -> None:
    _write(path, *range(1, 2001))
    row = metrics_log.last(path, tail=100)
    assert row is not None
    assert row[STEP] == 2000


def test_no_journal(path: Path) -> None:
    assert list(metrics_log.read(path)) == []
    assert metrics_log.last(path) is None
