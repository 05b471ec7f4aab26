"""The process of a job: `python -m scoft_hpc.launch.worker [--door MODULE] {prepare,execute} RUN_DIR...`

The door is the module whose `prepare(run)` and `execute(runs)` do the work; they load torch, in this process
alone.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from scoft_hpc.errors import INTERRUPTED, RunError
from scoft_hpc.runs import record
from scoft_hpc.runs.layout import RunDir

DOOR = "scoft_hpc.execute"


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scoft_hpc.launch.worker", description=__doc__)
    parser.add_argument("--door", default=DOOR)
    parser.add_argument("verb", choices=("prepare", "execute"))
    parser.add_argument("runs", nargs="+", type=Path)
    asked = parser.parse_args(words)
    door = importlib.import_module(asked.door)
    if asked.verb == "execute":
        return int(door.execute(asked.runs))
    codes = [_prepare(door.prepare, run) for run in asked.runs]
    return INTERRUPTED if INTERRUPTED in codes else max(codes)


def _prepare(prepare: Callable[[Path], int], run: Path) -> int:
    """Prepare one run's culture; a fault is kept as the run's failure, and the other cultures go on."""
    try:
        code = prepare(run)
        message = f"ended with exit code {code}"
    except Exception as error:
        traceback.print_exc()
        code, message = RunError.exit_code, f"{type(error).__name__}: {error}"
    if code not in (0, INTERRUPTED):
        record.write_failure(RunDir(run), "preparation", message, 0)
    return code


if __name__ == "__main__":
    sys.exit(main())
