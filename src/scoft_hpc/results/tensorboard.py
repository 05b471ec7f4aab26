"""TensorBoard: a run's curves and final measures as event files, each number once.

What is in the files already is read back first, so that writing again adds what is missing and nothing else. A file
that a kill tore is read as far as it is whole.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from scoft_hpc.config.metrics import METRICS
from scoft_hpc.errors import ConfigError
from scoft_hpc.results.study import Study, StudyRun
from scoft_hpc.study import lease
from scoft_hpc.study.metrics_log import STEP, Row
from scoft_hpc.study.run_status import Status

MEASURED = "measures/"
"""What the names of final measures begin with, among those of the curves."""
SETTINGS = "_hparams_/session_start_info"
"""TensorBoard's own name for what a run was, in its HPARAMS tab."""


def require() -> None:
    """Raise ConfigError if the package is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError("tensorboard=true needs a package: pip install 'scoft-hpc[tensorboard]'.")


def write(study: Study) -> None:
    """Bring the event files of all runs up to what is on disk, but for those that a mirror writes just now."""
    for run in study.runs:
        if lease.live_owner(study.folder.sync_lease(run.run_id)) is not None:
            continue
        with closing(Events(study.folder.tensorboard / run.run_id)) as file:
            file.add_rows(run.saved())
            if run.status is Status.done:
                file.add_result(run)


class Events:
    """A run's event files; a new one is begun only for something to write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last, self._results = _written(folder)
        self._writer: Any = None

    def add_rows(self, rows: Sequence[Row]) -> None:
        """The rows after the last step that is in the files."""
        for row in rows:
            if row[STEP] > self._last:
                for name, value in row.items():
                    if name != STEP and value is not None:
                        self._open().add_scalar(name, value, row[STEP])
                self._last = row[STEP]
        if self._writer is not None:
            self._writer.flush()

    def add_result(self, run: StudyRun) -> None:
        """The run's measures, beside what it was."""
        if SETTINGS not in self._results:
            self._add_settings({"culture": run.culture, "variant": run.variant, "seed": run.seed})
        for name in METRICS:
            value, tag = run.metric(name), MEASURED + name
            if value is not None and self._results.get(tag) != np.float32(value):
                self._open().add_scalar(tag, value, max(self._last, 0))
                self._results[tag] = np.float32(value)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _open(self) -> Any:
        if self._writer is None:
            from tensorboard.summary import Writer

            self._writer = Writer(str(self.folder))
        return self._writer

    def _add_settings(self, settings: Mapping[str, Any]) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.plugins.hparams import summary_v2
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        file = EventFileWriter(str(self.folder), filename_suffix=".settings")
        file.add_event(Event(step=0, summary=summary_v2.hparams_pb(settings, trial_id=self.folder.name)))
        file.close()
        self._results[SETTINGS] = None


def _written(folder: Path) -> tuple[int, dict[str, Any]]:
    """The last step of the curves in the files, and the measures by their names there."""
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    last = -1
    results: dict[str, Any] = {}
    for path in sorted(folder.glob("*tfevents*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.tag == SETTINGS:
                    results[value.tag] = None
                elif value.tag.startswith(MEASURED):
                    results[value.tag] = np.float32(value.tensor.float_val[0])
                else:
                    last = max(last, event.step)
    return last, results
