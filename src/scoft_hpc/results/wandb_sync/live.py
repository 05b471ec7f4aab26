"""Curves while a study runs: a reader of the journals that sends what is new to W&B and to TensorBoard.

Training does not know of it: nothing is written into a run's folder. Only rows up to a run's newest checkpoint are
sent, since an interruption takes back the later ones; so a curve is at most `save_seconds` behind, and what was sent
holds. What could not be sent `publish` adds when the run has ended.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any, Protocol

from scoft_hpc.config.schema import Wandb, WandbMode
from scoft_hpc.errors import ConfigError, RunError
from scoft_hpc.results.gather import wandb_settings, wants_events
from scoft_hpc.results.study import Study, StudyRun, read
from scoft_hpc.results.tensorboard import Events, require
from scoft_hpc.results.wandb_sync import records
from scoft_hpc.results.wandb_sync.publish import choose_run_id, send_rows
from scoft_hpc.results.wandb_sync.session import TIMEOUTS, Session, WandbTimeouts, session
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.metrics_log import STEP, Row
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.text import first_line

MIN_REST_SECONDS, MAX_REST_SECONDS = 30.0, 600.0
"""Seconds that a destination which failed is left alone; they double while it fails."""
MIN_SECONDS, MAX_SECONDS = 1.0, 10.0
"""Between two looks at the files: the time grows while nothing was saved, half more or less by chance."""
SIGNAL_SECONDS = 0.2
"""How often it looks whether a signal has come."""

Say = Callable[[str], None]


class Destination(Protocol):
    """Where curves go. `add` takes all rows so far and sends those that are not there."""

    name: str

    def add(self, run: StudyRun, rows: Sequence[Row]) -> None: ...

    def end(self, run: StudyRun, failed: bool) -> None: ...


class ToWandb:
    """A W&B run a run, open while it trains."""

    name = "W&B"

    def __init__(self, client: Session) -> None:
        self.client = client
        self._open: dict[str, tuple[Any, int]] = {}

    def add(self, run: StudyRun, rows: Sequence[Row]) -> None:
        log, last = self._open.pop(run.run_id, (None, 0))
        if log is None:
            wanted = records.of_curves(self.client.study, run)
            wandb_id, _ = choose_run_id(self.client, replace(wanted, rows=tuple(rows)), more=True)
            log = self.client.open(wanted, wandb_id)
            log.summary.update(wanted.summary)
        send_rows(log, [records.present(row) for row in rows if row[STEP] > last])
        self._open[run.run_id] = log, rows[-1][STEP]

    def end(self, run: StudyRun, failed: bool) -> None:
        log, _ = self._open.pop(run.run_id, (None, 0))
        if log is not None:
            log.finish(exit_code=int(failed))


class ToTensorboard:
    """Event files, a folder a run."""

    name = "TensorBoard"

    def __init__(self, study: Study) -> None:
        self.study = study
        self._open: dict[str, Events] = {}

    def add(self, run: StudyRun, rows: Sequence[Row]) -> None:
        if run.run_id not in self._open:
            self._open[run.run_id] = Events(self.study.folder.tensorboard / run.run_id)
        self._open[run.run_id].add_rows(rows)

    def end(self, run: StudyRun, failed: bool) -> None:
        if run.run_id in self._open:
            self._open.pop(run.run_id).close()


class LiveSync:
    """Sends the curves of some runs of a study; made by `live_sync`. `sent` counts what it could send."""

    def __init__(
        self, study: Study, runs: Sequence[StudyRun], to: Sequence[Destination], say: Say, min_rest: float
    ) -> None:
        self.study, self.runs, self.to, self.say, self.min_rest = study, runs, to, say, min_rest
        self.sent = 0
        self._leases: dict[str, Lease] = {}
        self._seen: dict[tuple[str, str], int] = {}
        self._rests: dict[str, tuple[float, float]] = {}

    def send_new_rows(self) -> bool:
        """Send what was saved since the last look; True once every run has ended."""
        over = True
        for run in self.runs:
            ended = run.folder.ended
            over = over and ended
            if ended and run.run_id not in self._leases:
                continue  # what ended unseen is whole on disk, and `publish` sends it
            rows = run.saved()
            if rows and any(self._seen.get((to.name, run.run_id), 0) < rows[-1][STEP] for to in self.to):
                if not self._acquire_lease(run):
                    continue
                for to in self.to:
                    self._add(to, run, rows)
            if ended:
                self._end(run)
            elif run.run_id in self._leases:
                self._leases[run.run_id].renew()
        return over

    def close(self) -> None:
        for run in self.runs:
            self._end(run)

    def _add(self, to: Destination, run: StudyRun, rows: Sequence[Row]) -> None:
        until, rest = self._rests.get(to.name, (0.0, self.min_rest))
        if time.monotonic() < until:
            return
        try:
            to.add(run, rows)
        except Exception as error:  # of the network, a server or a full disk: none of them may end the mirror
            self._rests[to.name] = time.monotonic() + rest, min(2 * rest, MAX_REST_SECONDS)
            self.say(
                f"{to.name} does not take {run.run_id} ({first_line(error)}); next try in {rest:.0f} s. "
                f"The jobs do not notice, and `gather` sends what is missing."
            )
        else:
            self._rests.pop(to.name, None)
            self._seen[to.name, run.run_id] = rows[-1][STEP]
            self.sent += 1

    def _end(self, run: StudyRun) -> None:
        """Let go of a run; the rest of it is `publish`'s."""
        lease = self._leases.pop(run.run_id, None)
        if lease is None:
            return
        for to in self.to:
            with suppress(Exception):  # a server that died meanwhile: `publish` looks at what arrived
                to.end(run, run.folder.failure.exists())
        lease.release()

    def _acquire_lease(self, run: StudyRun) -> bool:
        """Whether no other mirror, and nobody who publishes, sends this run."""
        if run.run_id not in self._leases:
            try:
                self._leases[run.run_id] = Lease.acquire(self.study.folder.sync_lease(run.run_id))
            except RunError:
                return False
        return True


@contextmanager
def live_sync(
    study: Study,
    runs: Sequence[StudyRun],
    settings: Wandb,
    tensorboard: bool,
    say: Say,
    timeouts: WandbTimeouts = TIMEOUTS,
    min_rest: float = MIN_REST_SECONDS,
) -> Iterator[LiveSync]:
    """A mirror to W&B, if `settings` say online, and to TensorBoard, if asked for."""
    with ExitStack() as open_now:
        to: list[Destination] = [ToTensorboard(study)] if tensorboard else []
        if settings.mode is WandbMode.online:
            to.append(ToWandb(open_now.enter_context(session(study, settings, timeouts))))
        mirror = LiveSync(study, runs, to, say, min_rest)
        open_now.callback(mirror.close)
        yield mirror


def sync(
    folder: StudyDir,
    run_ids: Collection[str],
    mode: WandbMode | None,
    events: bool | None,
    once: bool,
    say: Say,
) -> bool:
    """Send what is new of these runs again and again; return whether all was sent when it ended.

    Args:
        mode, events: where the curves go; None: as the study was planned.
        once: send what there is and return True.
        say: prints a line.

    Raises:
        ConfigError: if the curves go nowhere, or TensorBoard is not installed.
    """
    planned = read(folder)
    runs = [run for run in planned.runs if run.run_id in run_ids]
    settings = wandb_settings(planned, mode)
    to_events = wants_events(planned, events)
    if to_events:
        require()
    online = settings.mode is WandbMode.online
    if not (online or to_events):
        raise ConfigError(
            f"{planned.name} was planned with wandb.mode={settings.mode.name} and tensorboard=false, so its curves go "
            f"nowhere; say where: --wandb online or --tensorboard."
        )
    to = [f"W&B, project {settings.project}"] * online + [str(folder.tensorboard)] * to_events
    say(f"curves of {planned.name} go to {' and '.join(to)}")
    stop = StopFlag()
    with stop.capture_signals(), live_sync(planned, runs, settings, to_events, say) as mirror:
        over, pause = mirror.send_new_rows(), MIN_SECONDS
        while not (over or once or stop.requested):
            _rest(stop, pause)
            sent = mirror.sent
            over = (
                mirror.send_new_rows()
            )  # after a signal too: the launcher sends one when the jobs have ended
            pause = MIN_SECONDS if mirror.sent > sent else min(1.5 * pause, MAX_SECONDS)
    return over or not stop.requested


def _rest(stop: StopFlag, seconds: float) -> None:
    end = time.monotonic() + seconds * random.uniform(0.5, 1.5)
    while time.monotonic() < end and not stop.requested:
        time.sleep(SIGNAL_SECONDS)
