"""Run a study: plan an ablation over cultures and seeds, pack and submit its runs, write table and report.

    python -m scoft_hpc.sweep culture=all ablation=loss_terms
    python -m scoft_hpc.sweep culture=all ablation=loss_terms cluster=bridges2 cluster.account=…

On this machine the command watches the jobs until they end; on a cluster it prints their cost, submits them and
returns. The same command again submits what is missing, and prints the table of a finished study. On this machine it
also retries failed runs; on a cluster, where retries are charged, use `scoft_hpc.retry`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.config.compose import command
from scoft_hpc.config.schema import WandbMode
from scoft_hpc.console import CTRL_C, print_lines
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.local.executor import JOB_MODULE
from scoft_hpc.launch.run_sweep import SweepOutcome, SweepState, ending_lines, exit_code, run_sweep
from scoft_hpc.launch.search.run_search import run_search
from scoft_hpc.results import terminal
from scoft_hpc.results.gather import Gathered, gather, latest


def main(argv: Sequence[str] | None = None) -> int:
    try:
        return command("sweep", sweep, argv)
    except KeyboardInterrupt:
        print("stopped; the same command continues.", file=sys.stderr)
        return CTRL_C


def sweep(config: SweepConfig, overrides: Sequence[str], job_module: str = JOB_MODULE) -> int:
    """Plan, run or submit, and gather. `job_module` is the module that a local job runs.

    Returns:
        0 if every run is done, 4 if some failed, 75 if some can be continued, 130 if a person stopped it.
    """
    _refuse_flags(overrides)
    console = Console()
    if any(entry is not None for entry in config.tune.space.values()):
        return run_search(console, config, overrides, job_module)
    outcome = run_sweep(console, config, overrides, job_module)
    if outcome.state in (SweepState.planned, SweepState.submitted):
        return 0
    if outcome.state is SweepState.stopped:
        return CTRL_C
    gathered = _gather(config, outcome)
    terminal.show(gathered)
    statuses = {run.run_id: run.status for run in gathered.study.runs}
    print_lines(console, ending_lines(outcome.study, statuses, outcome.lost_reasons))
    return exit_code(statuses.values())


def _gather(config: SweepConfig, outcome: SweepOutcome) -> Gathered:
    """The results; of a study that was complete before, those that were gathered then."""
    if outcome.state is SweepState.followed:  # publishing is up to the process that ran it
        return gather(outcome.study, WandbMode.disabled)
    gathered = latest(outcome.study) if outcome.state is SweepState.complete else None
    return gathered or gather(outcome.study, config.wandb.mode, config.tensorboard)


def _refuse_flags(overrides: Sequence[str]) -> None:
    for text in overrides:
        if text.startswith("-"):
            raise ConfigError(
                f"`{text}`: a sweep is not Hydra's multirun and takes no other folder of settings; "
                f"lists go to the settings themselves, such as 'culture=[korea,china]' or 'seed=[0,1,2]'."
            )


if __name__ == "__main__":
    raise SystemExit(main())
