"""What W&B is to have of a study: plain data, made from the files alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scoft_hpc.config.metrics import METRICS
from scoft_hpc.results.study import Study, StudyRun
from scoft_hpc.study.metrics_log import STEP, Row
from scoft_hpc.study.run_status import Status

FORMAT = 2
"""Changes whenever what is logged of a run changes: everything is then published again."""
DIGEST = "digest"
"""The summary's key that tells in which state the study's table was published."""


@dataclass(frozen=True)
class WandbRecord:
    """One run of W&B.

    Attributes:
        name: what a person reads: the run's id, or `<study>-summary`.
        rows: history, each on its own step; None where the history is not ours to count, as of the summary's tables.
        summary: values by name. A mapping stands for an object that W&B makes, such as a table: these are some of
            its entries.
    """

    name: str
    job_type: str
    tags: tuple[str, ...]
    config: Mapping[str, Any]
    rows: tuple[Row, ...] | None
    summary: Mapping[str, Any]
    failed: bool = False

    @property
    def steps(self) -> list[int] | None:
        return None if self.rows is None else [row[STEP] for row in self.rows]


def of_run(study: Study, run: StudyRun) -> WandbRecord:
    """A run's settings, its whole history, its scores and times."""
    failed = run.status is Status.failed
    measured = {name: value for name in METRICS if (value := run.metric(name)) is not None}
    times = {f"seconds/{part}": spent for part, spent in run.result.get("seconds", {}).items()}
    total = {} if run.seconds is None else {"seconds/total": run.seconds}
    failure = {"failure": run.failure.get("message", "")} if failed else {}
    return WandbRecord(
        name=run.run_id,
        job_type=run.variant,
        tags=_tags(study, run.culture, run.variant),
        config=run.config,
        rows=tuple(present(row) for row in run.history()),
        summary={"status": run.status.value, **measured, **times, **total, **failure},
        failed=failed,
    )


def of_curves(study: Study, run: StudyRun) -> WandbRecord:
    """A run at work, of which rows follow."""
    tags = _tags(study, run.culture, run.variant)
    return WandbRecord(run.run_id, run.variant, tags, run.config, (), {"status": Status.running.value})


def of_study(study: Study, summary: Mapping[str, Any], digest: str) -> WandbRecord:
    """The run that sums up."""
    config = {"cultures": study.cultures, "variants": study.variants, "seeds": study.seeds}
    tags = _tags(study, "summary")
    return WandbRecord(summary_name(study), "summary", tags, config, None, {**summary, DIGEST: digest})


def summary_name(study: Study) -> str:
    return f"{study.plan.study}-summary"


def present(row: Row) -> Row:
    """The row without the terms that this step did not compute."""
    return {key: value for key, value in row.items() if value is not None}


def ids(study: Study, name: str) -> Iterator[str]:
    """Ids at W&B, best first: `name` with a mark of this plan, then with numbers.

    Another study may hold the same run, and W&B never gives an id twice in a project.
    """
    mark = digest([study.plan.study, study.plan.created or None])[:6]
    yield f"{name}-{mark}"
    for number in range(2, 10):
        yield f"{name}-{mark}-{number}"


def digest_of(run: StudyRun, project: str) -> str:
    """Of everything that is logged of a run."""
    record = [run.folder.result, run.folder.failure, run.folder.scores, run.folder.metrics]
    contents = [path.read_bytes().hex() if path.exists() else None for path in record]
    return digest([FORMAT, project, run.variant, run.stored_config, contents])


def digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _tags(study: Study, *names: str) -> tuple[str, ...]:
    return tuple(tag[:64] for tag in (*names, study.ablation) if tag)
