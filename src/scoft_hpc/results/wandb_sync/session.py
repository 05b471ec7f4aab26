"""A session with wandb's service, runs that are logged in it, and what the API says of them.

Everything that wandb writes stays below the study's `wandb` folder. No key is read or kept here: wandb finds its own.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from scoft_hpc.config.schema import Wandb, WandbMode
from scoft_hpc.results.study import Study
from scoft_hpc.results.wandb_sync.records import WandbRecord
from scoft_hpc.results.wandb_sync.verify import UploadedRun
from scoft_hpc.study.metrics_log import STEP
from scoft_hpc.study.paths import StudyDir

LOST = "Could not find run"
"""In the error of wandb's API for a run that does not exist."""


@dataclass(frozen=True)
class WandbTimeouts:
    """How long an online run, or a query, may take: without a network wandb would wait much longer.

    `pauses`: seconds between queries of what arrived, since a server may take its time to count.
    """

    init_seconds: float = 20.0
    finish_seconds: float = 60.0
    api_seconds: int = 15
    pauses: tuple[float, ...] = (0.5, 1.5, 4.0)


TIMEOUTS = WandbTimeouts()


class Session:
    """One wandb service for all runs; made by `session`."""

    def __init__(self, study: Study, settings: Wandb, timeouts: WandbTimeouts) -> None:
        self.study, self.settings, self.timeouts = study, settings, timeouts
        self._api: Any = None

    @property
    def online(self) -> bool:
        return self.settings.mode is WandbMode.online

    def open(self, logged: WandbRecord, wandb_id: str) -> Any:
        """A W&B run to log to, continued where it ended; offline, in a folder of its own."""
        import wandb

        if not self.online:
            self.forget(wandb_id, synced=False)
        log = wandb.init(
            project=self.settings.project,
            entity=self.settings.entity,
            id=wandb_id,
            name=logged.name,
            group=self.study.plan.study,
            job_type=logged.job_type,
            tags=list(logged.tags),
            config=dict(logged.config),
            mode="online" if self.online else "offline",
            resume="allow" if self.online else None,
            dir=str(self.study.folder.path),
            reinit="create_new",
            settings=_quiet(self.timeouts),
        )
        if logged.rows is not None:
            log.define_metric(STEP)
            log.define_metric("*", step_metric=STEP)
        return log

    @contextmanager
    def log(self, logged: WandbRecord, wandb_id: str) -> Iterator[Any]:
        """`open`, and finished with the block."""
        log = self.open(logged, wandb_id)
        try:  # not the run's own `with`, which prints a traceback
            yield log
        except BaseException:
            with suppress(Exception):
                log.finish(exit_code=1)
            raise
        log.finish(exit_code=1 if logged.failed else 0)

    def arrived(self, wandb_id: str) -> UploadedRun | None:
        """What the API tells of the run; None if it is not there."""
        import wandb

        if self._api is None:
            self._api = wandb.Api(timeout=self.timeouts.api_seconds)
        self._api.flush()  # it would answer from memory
        entity = self.settings.entity or self._api.default_entity
        try:
            run = self._api.run(f"{entity}/{self.settings.project}/{wandb_id}")
            last = run.lastHistoryStep
            return UploadedRun(
                rows=int(run.historyLineCount or 0),
                last_step=None if last < 0 else last,
                summary=dict(run.summaryMetrics or {}),
                files=frozenset(file.name for file in run.files() if file.size),
                state=run.state,
            )
        except (wandb.errors.CommError, ValueError) as error:
            if LOST in str(error):
                return None
            raise

    def forget(self, wandb_id: str, synced: bool) -> None:
        """Remove what wandb keeps of the run on this disk: two states of one id would be uploaded over each other.

        `synced`: also what has been uploaded.
        """
        name = re.compile(rf"(offline-)?run-\d+_\d+-{re.escape(wandb_id)}")
        for path in self.study.folder.wandb.glob("*run-*"):
            if name.fullmatch(path.name) and (synced or not list(path.glob("*.synced"))):
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def session(study: Study, settings: Wandb, timeouts: WandbTimeouts = TIMEOUTS) -> Iterator[Session]:
    """A wandb service that ends with the block."""
    study.folder.wandb.mkdir(parents=True, exist_ok=True)
    with _environment(study.folder, settings.mode):
        import wandb

        try:
            yield Session(study, settings, timeouts)
        finally:
            wandb.teardown()


def _quiet(timeouts: WandbTimeouts) -> Any:
    """No console, no code, no machine, no command line: a run's own settings are what is logged."""
    import wandb

    return wandb.Settings(
        console="off",
        silent=True,
        save_code=False,
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        host="",
        program="scoft_hpc.gather",
        init_timeout=timeouts.init_seconds,
        login_timeout=timeouts.init_seconds,
        finish_timeout=timeouts.finish_seconds,
        finish_timeout_raises=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_graphql_retry_max=2,
        x_graphql_retry_wait_max_seconds=2.0,
        x_save_requirements=False,
    )


@contextmanager
def _environment(folder: StudyDir, mode: WandbMode) -> Iterator[None]:
    """What wandb reads from the environment alone, put back afterwards."""
    below = str(folder.wandb)
    with tempfile.TemporaryDirectory() as scratch:  # the API makes a folder for each run it is asked about
        values = {
            "WANDB_DIR": scratch,
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
