"""Weights & Biases, from disk: one W&B run a run of the study, and one that sums up.

Jobs know nothing of W&B. `publish` may run at any time and any number of times: `published.json` says what has been
published in which state, and only what is new or has changed since is logged again. Everything that wandb writes
stays below the study's `wandb` folder.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from scoft_hpc.config.schema import Wandb, WandbMode
from scoft_hpc.errors import RunError
from scoft_hpc.results import grids, pictures
from scoft_hpc.results.measures import MEASURES
from scoft_hpc.results.statistics import level
from scoft_hpc.results.study import Run, Study
from scoft_hpc.results.table import Row
from scoft_hpc.runs import atomic
from scoft_hpc.runs.claim import Claim
from scoft_hpc.runs.journal import STEP
from scoft_hpc.runs.layout import StudyDir
from scoft_hpc.runs.record import Status

FORMAT = 1
"""Changes whenever what is logged of a run changes: everything is then published anew."""
ENDED = (Status.done, Status.failed)
"""Runs still under way are in the summary's table; their own W&B run waits until they end."""
INIT_SECONDS, FINISH_SECONDS = 20.0, 60.0
"""How long an online run may keep us: without a network wandb would wait much longer."""

Ledger = dict[str, dict[str, str]]
"""W&B run id -> {"digest", "mode"} of what has been published."""


def publish(study: Study, rows: Sequence[Row], settings: Wandb) -> list[str]:
    """Log what is new; return what a person should be told, nothing if all went well.

    A network that does not answer never raises: the rest stays to be published by a later call.
    """
    if settings.mode is WandbMode.disabled:
        return []
    folder = study.folder.wandb
    try:
        claim = Claim.take(folder / "claim.json")
    except RunError as error:
        return [f"Nothing was sent to W&B, somebody else is publishing this study: {error}"]
    try:
        return _publish(study, rows, settings, folder / "published.json")
    finally:
        claim.release()


def _publish(study: Study, rows: Sequence[Row], settings: Wandb, ledger_file: Path) -> list[str]:
    ledger = _read_ledger(ledger_file)
    digests = {run.run_id: _digest(run, settings) for run in study.runs if run.status in ENDED}
    summary = summary_id(study)
    digests[summary] = _hash([FORMAT, settings.project, *map(asdict, rows), digests])
    mode = settings.mode.name
    missing = [i for i, digest in digests.items() if not _is_published(ledger.get(i, {}), digest, mode)]
    if not missing:
        return []
    runs = {run.run_id: run for run in study.runs}
    with _session(study.folder, settings.mode):
        for done, run_id in enumerate(missing):
            try:
                if run_id == summary:
                    _publish_summary(study, rows, settings)
                else:
                    _publish_run(study, runs[run_id], settings)
            except Exception as error:  # of wandb, its service or the network: none of them may end a gather
                return [_apology(error, len(missing) - done, mode, study)]
            ledger[run_id] = {"digest": digests[run_id], "mode": mode}
            atomic.write_json(ledger_file, ledger)
    return []


def summary_id(study: Study) -> str:
    return f"{study.name}-summary"


def _publish_run(study: Study, run: Run, settings: Wandb) -> None:
    """A run's settings, its whole history on its own step, its scores and times."""
    tags, failed = [run.culture, run.variant], run.status is Status.failed
    with _log(study, settings, run.run_id, run.variant, tags, run.config, failed=failed) as log:
        log.define_metric(STEP)
        log.define_metric("*", step_metric=STEP)
        for row in run.history():
            if row[STEP] >= log.starting_step:  # a resumed online run has the earlier ones
                log.log({key: value for key, value in row.items() if value is not None}, step=row[STEP])
        log.summary.update(
            {
                "status": run.status.value,
                **{name: value for name in MEASURES if (value := run.metric(name)) is not None},
                **{f"seconds/{part}": spent for part, spent in run.result.get("seconds", {}).items()},
                **({"seconds/total": run.seconds} if run.seconds is not None else {}),
                **({"failure": run.failure.get("message", "")} if failed else {}),
            }
        )


def _publish_summary(study: Study, rows: Sequence[Row], settings: Wandb) -> None:
    """The results table, a grid a culture and each variant's means."""
    import wandb

    names = [field.name for field in fields(Row)]
    content: dict[str, Any] = {
        "results": wandb.Table(names, [[getattr(row, n) for n in names] for row in rows])
    }
    for culture in study.cultures:
        lines = grids.sample_files(study, culture)
        if lines:
            sheet = pictures.contact_sheet([files for _, files in lines])
            caption = "from top to bottom: " + ", ".join(variant for variant, _ in lines)
            content[f"grid/{culture}"] = wandb.Image(sheet, caption=caption)
    config = {"cultures": study.cultures, "variants": study.variants, "seeds": study.seeds}
    with _log(study, settings, summary_id(study), "summary", ["summary"], config) as log:
        log.log(content)
        for measure in MEASURES.values():
            for variant in study.variants:
                estimate = level(study, measure, variant)
                if estimate is not None:
                    log.summary[f"{measure.name}/{variant}"] = estimate.value


@contextmanager
def _log(
    study: Study,
    settings: Wandb,
    run_id: str,
    job_type: str,
    tags: list[str],
    config: Mapping[str, Any],
    failed: bool = False,
) -> Iterator[Any]:
    """An open W&B run, finished with the block: online continued where it stands, offline in a folder of its own."""
    import wandb

    online = settings.mode is WandbMode.online
    if not online:
        _remove_offline(study.folder.wandb, run_id)
    log = wandb.init(
        project=settings.project,
        entity=settings.entity,
        id=run_id,
        name=run_id,
        group=study.name,
        job_type=job_type,
        tags=[tag[:64] for tag in (*tags, study.ablation) if tag],
        config=dict(config),
        mode="online" if online else "offline",
        resume="allow" if online else None,
        dir=str(study.folder.path),
        reinit="create_new",
        settings=wandb.Settings(
            console="off",
            silent=True,
            save_code=False,
            disable_code=True,
            disable_git=True,
            disable_job_creation=True,
            host="",
            program="scoft_hpc.gather",
            init_timeout=INIT_SECONDS,
            login_timeout=INIT_SECONDS,
            finish_timeout=FINISH_SECONDS,
            finish_timeout_raises=True,
            x_disable_machine_info=True,
            x_disable_meta=True,
            x_disable_stats=True,
            x_graphql_retry_max=2,
            x_graphql_retry_wait_max_seconds=2.0,
            x_save_requirements=False,
        ),
    )
    try:  # not the run's own `with`, which prints a traceback
        yield log
    except BaseException:
        with suppress(Exception):
            log.finish(exit_code=1)
        raise
    log.finish(exit_code=1 if failed else 0)


@contextmanager
def _session(folder: StudyDir, mode: WandbMode) -> Iterator[None]:
    """One wandb service for all runs, which ends with the block."""
    folder.wandb.mkdir(parents=True, exist_ok=True)
    with _environment(folder, mode):
        import wandb

        try:
            yield
        finally:
            wandb.teardown()


@contextmanager
def _environment(folder: StudyDir, mode: WandbMode) -> Iterator[None]:
    """What wandb reads from the environment alone, put back afterwards."""
    below = str(folder.wandb)
    values = {
        "WANDB_DIR": str(folder.path),
        "WANDB_CACHE_DIR": below,
        "WANDB_DATA_DIR": below,
        "WANDB_ARTIFACT_DIR": below,
        "WANDB_SILENT": "true",
        "WANDB_ERROR_REPORTING": "false",
    }
    if mode is not WandbMode.online:  # online, the user's own folder may name their server
        values["WANDB_CONFIG_DIR"] = below
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _is_published(entry: Mapping[str, str], digest: str, mode: str) -> bool:
    """What is online already need not be written offline again."""
    return entry.get("digest") == digest and entry.get("mode") in (mode, WandbMode.online.name)


def _digest(run: Run, settings: Wandb) -> str:
    """Of everything that is logged of a run."""
    record = [run.folder.result, run.folder.failure, run.folder.scores, run.folder.metrics]
    contents = [path.read_bytes().hex() if path.exists() else None for path in record]
    return _hash([FORMAT, settings.project, run.variant, run.config, contents])


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _read_ledger(path: Path) -> Ledger:
    """What has been published; nothing, where the file is not there or broken: it is then published anew."""
    with suppress(OSError, ValueError):
        content = json.loads(path.read_text())
        if isinstance(content, dict) and all(isinstance(entry, dict) for entry in content.values()):
            return content
    return {}


def _remove_offline(folder: Path, run_id: str) -> None:
    """An earlier state of the run that has not been synced: two of one id would be uploaded over each other."""
    name = re.compile(rf"offline-run-\d+_\d+-{re.escape(run_id)}")
    for path in folder.glob("offline-run-*"):
        if name.fullmatch(path.name) and not list(path.glob("*.synced")):
            shutil.rmtree(path, ignore_errors=True)


def _apology(error: Exception, left: int, mode: str, study: Study) -> str:
    cause = " ".join(str(error).split())[:160] or type(error).__name__
    return (
        f"W&B did not take {left} of the study's runs ({cause}). Everything lies on disk; publish it later with "
        f"`python -m scoft_hpc.gather {study.name} --output {study.folder.path.parent} --wandb {mode}`."
    )
