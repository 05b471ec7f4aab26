"""Send a running study's curves to W&B or TensorBoard.

    python -m scoft_hpc.mirror [STUDY] [RUN ...] [culture=korea …] [--wandb online] [--tensorboard] [--once]

STUDY is the latest study by default. The curves go where the plan says, unless a flag says otherwise. The command runs
until every run has ended; Ctrl-C stops it. The jobs do not know of it. With `wandb.live=true` or `tensorboard=true`
the launcher starts it automatically. `gather` completes what it sent.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from scoft_hpc.config.schema import WandbMode
from scoft_hpc.console import CTRL_C, console_command
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.views import selection
from scoft_hpc.results.wandb_sync.live import sync

NICENESS = 10
"""It gives way to the jobs on its machine, and to others on a login node."""


@console_command
def main(argv: Sequence[str] | None = None) -> int:
    parser = selection.parser("mirror", "Send a running study's curves to W&B or TensorBoard.")
    parser.add_argument("--wandb", metavar="MODE", help="online or disabled; as planned by default")
    parser.add_argument("--tensorboard", action="store_true", help="also write TensorBoard's event files")
    parser.add_argument("--once", action="store_true", help="send what there is, and leave")
    choice = selection.parse_selection(parser, argv)
    os.nice(NICENESS)
    flags, run_ids = choice.flags, {run.run_id for run in choice.chosen}
    complete = sync(choice.study, run_ids, _mode(flags.wandb), flags.tensorboard or None, flags.once, _print)
    return 0 if complete else CTRL_C


def _mode(name: str | None) -> WandbMode | None:
    if name is not None and name not in ("online", "disabled"):
        raise ConfigError(f"--wandb {name}: curves go online or, with `disabled`, not to W&B at all.")
    return None if name is None else WandbMode[name]


def _print(text: str) -> None:
    print(f"mirror: {text}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
