"""Run one run alone, in this process, with a progress bar: the local debug run.

    python -m scoft_hpc.train culture=korea variant=mpc objective=official

It is a study of one run, by default named after the run: `status` and `gather` know it, the same command again
continues it or prints its table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields, replace

from rich.console import Console

from scoft_hpc.config.check import check_output
from scoft_hpc.config.cluster import Cluster
from scoft_hpc.config.commands import SweepConfig
from scoft_hpc.config.compose import command
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.errors import INTERRUPTED, ConfigError
from scoft_hpc.execute import execute
from scoft_hpc.gather import show
from scoft_hpc.launch.local.live_sync_process import LAST_SECONDS, STOPPED_SECONDS, mirroring
from scoft_hpc.launch.planning import plan_store, preflight
from scoft_hpc.launch.planning.plan import Plan, make
from scoft_hpc.launch.views.live import view
from scoft_hpc.launch.views.run_progress import Progress
from scoft_hpc.results.gather import gather
from scoft_hpc.study import run_status
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.periodic import repeating
from scoft_hpc.study.plan_file import read

POLL_SECONDS = 0.2


def train(config: RunConfig, words: Sequence[str]) -> int:
    """Plan the run, train, generate and score it here, and print its table; return the exit code of `execute`."""
    check_output(config.output)
    plan = _plan_of_one(config, words)
    study = StudyDir(plan.output / plan.study)
    plan_store.check(study, plan)
    preflight.require(plan.runs, plan.output, Cluster())
    plan_store.write(study, plan)
    plan_store.write_config(study, plan.runs[0])
    run = study.run(plan.runs[0].run_id)
    console = Console()
    code = 0
    if not run.result.exists():
        progress = Progress(study, read(study).runs)
        log = study.logs / "mirror.log"
        with view(console) as display, mirroring(study, config, log=log) as mirror:
            with repeating(lambda: display.show(progress.read(), ""), POLL_SECONDS):
                code = execute([run.path])
            mirror.end(STOPPED_SECONDS if code == INTERRUPTED else LAST_SECONDS)
            display.show(progress.read(), "")
    show(gather(study, config.wandb.mode, config.tensorboard))
    failure = run_status.failure(run)
    if failure is not None and not run.result.exists():
        print(f"{run.run_id} failed ({failure['cause']}): {failure['message']}", file=sys.stderr)
    return code


def _plan_of_one(config: RunConfig, words: Sequence[str]) -> Plan:
    if config.culture == "all" or not isinstance(config.culture, str):
        raise ConfigError(f"culture={config.culture}: train takes one culture; `sweep` takes several.")
    values = {f.name: getattr(config, f.name) for f in fields(RunConfig)}
    plan = make(SweepConfig(**values), words)
    (run,) = plan.runs
    study = config.study or run.run_id
    return replace(plan, study=study, runs=(replace(run, config=replace(run.config, study=study)),))


def main() -> int:
    words = sys.argv[1:]
    return command("train", lambda config: train(config, words), words)


if __name__ == "__main__":
    raise SystemExit(main())
