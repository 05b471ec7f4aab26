"""Train one run alone in this process, with a progress bar: for local debugging.

    python -m scoft_hpc.train culture=korea variant=mpc objective=official

The run is a study of its own, by default named after the run: `status` and `gather` work on it. The same command
again continues it or prints its table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from scoft_hpc.config.compose import command
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.execute import execute
from scoft_hpc.launch.local.run_alone import run_alone
from scoft_hpc.results import terminal
from scoft_hpc.results.gather import gather
from scoft_hpc.study import run_status


def main(argv: Sequence[str] | None = None) -> int:
    return command("train", train, argv)


def train(config: RunConfig, overrides: Sequence[str]) -> int:
    """Train, generate and score the run, print its table, and return the exit code of `execute`."""
    study, run, code = run_alone(config, overrides, execute)
    terminal.show(gather(study, config.wandb.mode, config.tensorboard))
    failure = run_status.failure(run)
    if failure is not None and not run.result.exists():
        print(f"{run.run_id} failed ({failure['cause']}): {failure['message']}", file=sys.stderr)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
