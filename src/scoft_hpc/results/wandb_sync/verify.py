"""Whether a run arrived at W&B whole: what was to be there against what is, as sentences.

wandb's own exit codes do not tell: a client whose rows or files were refused ends as if all were well.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scoft_hpc.results.wandb_sync.records import WandbRecord
from scoft_hpc.text import listing

MAX_SHOWN = 4
"""Names that are listed; the others are counted."""


@dataclass(frozen=True)
class UploadedRun:
    """What W&B's API tells of a run: lines of history, the last one's step, and the files with something in them."""

    rows: int
    last_step: int | None
    summary: Mapping[str, Any]
    files: frozenset[str]
    state: str


def missing_parts(wanted: WandbRecord, uploaded: UploadedRun | None) -> list[str]:
    """What did not arrive; nothing where all of it did."""
    if uploaded is None:
        return ["it is not there"]
    faults = _history(wanted.steps, uploaded)
    missing = [name for name in wanted.summary if name not in uploaded.summary]
    if missing:
        faults.append(f"the summary lacks {_list(missing)}")
    other = [
        name
        for name, value in wanted.summary.items()
        if name in uploaded.summary and not _same(value, uploaded.summary[name])
    ]
    if other:
        faults.append(f"the summary has another {_list(other)}")
    files = [path for name in wanted.summary if (path := _path(uploaded.summary.get(name)))]
    lost = [path for path in files if path not in uploaded.files]
    if lost:
        faults.append(f"{len(lost)} of {len(files)} files did not arrive ({_list(lost)})")
    ended = "failed" if wanted.failed else "finished"
    if uploaded.state != ended:
        faults.append(f"it counts as {uploaded.state} instead of {ended}")
    return faults


def is_prefix(steps: Sequence[int] | None, uploaded: UploadedRun | None, more: bool = False) -> bool:
    """Whether what is there are our first rows and nothing else, so that the rest can follow.

    With `more`, ours go on: an attempt that got further may have sent its own already.

    W&B takes rows in the order of their steps: what is missing in the middle, or there twice, cannot be repaired. Its
    client goes on after the summary's step, should that be a later one.
    """
    if steps is None or uploaded is None:
        return True
    last = max(-1 if uploaded.last_step is None else uploaded.last_step, uploaded.summary.get("_step", -1))
    if more and (not steps or last > steps[-1]):
        return True
    return bool(uploaded.rows == sum(step <= last for step in steps))


def _history(steps: Sequence[int] | None, uploaded: UploadedRun) -> list[str]:
    if steps is None:
        return []
    faults = []
    if uploaded.rows != len(steps):
        faults.append(f"{uploaded.rows} of {len(steps)} rows")
    last = steps[-1] if steps else None
    if steps and uploaded.last_step != last:
        faults.append(f"last step {'none' if uploaded.last_step is None else uploaded.last_step} of {last}")
    return faults


def _same(wanted: Any, uploaded: Any) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(uploaded, Mapping) and all(
            _same(value, uploaded.get(k)) for k, value in wanted.items()
        )
    if isinstance(wanted, float) and isinstance(uploaded, int | float):
        return math.isclose(wanted, uploaded, rel_tol=1e-9, abs_tol=1e-12)
    return bool(wanted == uploaded)


def _path(value: Any) -> str | None:
    """The file of a table or an image."""
    path = value.get("path") if isinstance(value, Mapping) else None
    return path if isinstance(path, str) else None


def _list(names: Sequence[str]) -> str:
    return listing(names, MAX_SHOWN)
