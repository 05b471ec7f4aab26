"""Sends the curves of a study's runs to W&B and TensorBoard until every run has ended."""

from __future__ import annotations

import random
import time
from collections.abc import Collection

from scoft_hpc.config.schema import WandbMode
from scoft_hpc.errors import ConfigError
from scoft_hpc.results import study, tensorboard
from scoft_hpc.results.gather import wandb_settings, wants_events
from scoft_hpc.results.wandb_sync.live import Say, live_sync
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.study.paths import StudyDir

MIN_SECONDS, MAX_SECONDS = 1.0, 10.0
"""Between two looks at the files: the time grows while nothing was saved, half more or less by chance."""
SIGNAL_SECONDS = 0.2
"""How often it looks whether a signal has come."""


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
    planned = study.read(folder)
    runs = [run for run in planned.runs if run.run_id in run_ids]
    settings = wandb_settings(planned, mode)
    to_events = wants_events(planned, events)
    if to_events:
        tensorboard.require()
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
            )  # once more after a signal: the launcher sends it when the jobs have ended
            pause = MIN_SECONDS if mirror.sent > sent else min(1.5 * pause, MAX_SECONDS)
    return over or not stop.requested


def _rest(stop: StopFlag, seconds: float) -> None:
    end = time.monotonic() + seconds * random.uniform(0.5, 1.5)
    while time.monotonic() < end and not stop.requested:
        time.sleep(SIGNAL_SECONDS)
