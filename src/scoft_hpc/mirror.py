"""Curves of a study while it runs, sent to W&B or TensorBoard.

    python -m scoft_hpc.mirror [STUDY] [RUN ...] [culture=korea …] [--wandb online] [--tensorboard] [--once]

Without a name it is the latest study; where the curves go is as planned, unless said. It stays until every run has
ended; Ctrl-C stops it. The jobs know nothing of it. With `wandb.live=true` or `tensorboard=true` the jobs' launcher
starts one by itself. `gather` completes what it sent.
"""

from __future__ import annotations

import os
import random
import sys
import time

from scoft_hpc.config.schema import WandbMode
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.views import selection
from scoft_hpc.launch.views.selection import CTRL_C, Choice
from scoft_hpc.results import study, tensorboard
from scoft_hpc.results.gather import wandb_settings, wants_events
from scoft_hpc.results.mirror import mirroring
from scoft_hpc.study.interrupt import Stop

LEAST_SECONDS, MOST_SECONDS = 1.0, 10.0
"""Between two looks at the files: the time grows while nothing was saved, half more or less by chance."""
HEED_SECONDS = 0.2
NICENESS = 10
"""It gives way to the jobs on its machine, and to others on a login node."""


def main() -> int:
    return selection.answer(_main)


def _main() -> int:
    parser = selection.parser("mirror", "Curves of a study while it runs, sent to W&B or TensorBoard.")
    parser.add_argument("--wandb", metavar="MODE", help="online or disabled; as planned by default")
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard's event files")
    parser.add_argument("--once", action="store_true", help="send what there is, and leave")
    choice = selection.choose(parser, sys.argv[1:])
    os.nice(NICENESS)
    return _mirror(choice)


def _mirror(choice: Choice) -> int:
    found = study.read(choice.study)
    chosen = {run.run_id for run in choice.chosen}
    runs = [run for run in found.runs if run.run_id in chosen]
    settings = wandb_settings(found, _mode(choice.flags.wandb))
    events = wants_events(found, choice.flags.tensorboard or None)
    if events:
        tensorboard.require()
    online = settings.mode is WandbMode.online
    if not (online or events):
        raise ConfigError(
            f"{found.name} was planned with wandb.mode={settings.mode.name} and tensorboard=false, so its curves go "
            f"nowhere; say where: --wandb online or --tensorboard."
        )
    to = [f"W&B, project {settings.project}"] * online + [str(choice.study.tensorboard)] * events
    _say(f"curves of {found.name} go to {' and '.join(to)}")
    stop = Stop()
    with stop.heeding_signals(), mirroring(found, runs, settings, events, _say) as mirror:
        over, pause = mirror.look(), LEAST_SECONDS
        while not (over or choice.flags.once or stop.requested):
            _rest(stop, pause)
            sent = mirror.sent
            over = mirror.look()  # once more after a signal: the launcher sends it when the jobs have ended
            pause = LEAST_SECONDS if mirror.sent > sent else min(1.5 * pause, MOST_SECONDS)
    return CTRL_C if stop.requested and not over else 0


def _rest(stop: Stop, seconds: float) -> None:
    end = time.monotonic() + seconds * random.uniform(0.5, 1.5)
    while time.monotonic() < end and not stop.requested:
        time.sleep(HEED_SECONDS)


def _mode(word: str | None) -> WandbMode | None:
    if word is not None and word not in ("online", "disabled"):
        raise ConfigError(f"--wandb {word}: curves go online or, with `disabled`, not to W&B at all.")
    return None if word is None else WandbMode[word]


def _say(text: str) -> None:
    print(f"mirror: {text}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
