"""One run in this process, as a study of its own, with a live display."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path

from rich.console import Console

from scoft_hpc.config.cluster import Cluster
from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.config.validation import require_writable
from scoft_hpc.errors import INTERRUPTED, ConfigError
from scoft_hpc.launch.local.live_sync_process import LAST_SECONDS, STOPPED_SECONDS, live_sync
from scoft_hpc.launch.planning import plan_store, preflight
from scoft_hpc.launch.planning.plan import Plan, build_plan
from scoft_hpc.launch.views.live_display import view
from scoft_hpc.launch.views.run_progress import ProgressReader
from scoft_hpc.study.paths import RunDir, StudyDir
from scoft_hpc.study.periodic import run_periodically
from scoft_hpc.study.plan_file import read

POLL_SECONDS = 0.2

Execute = Callable[[Sequence[Path]], int]
"""`scoft_hpc.execute.execute`. An argument, since the control plane does not import the compute plane."""


def run_alone(config: RunConfig, overrides: Sequence[str], execute: Execute) -> tuple[StudyDir, RunDir, int]:
    """Plan the study of one run and, unless it is done, execute it here.

    Returns:
        The study, the run, and the exit code of `execute`.

    Raises:
        ScoftError: if the settings, the data or the machine do not allow it, or the study is another one.
    """
    require_writable(config.output)
    plan = plan_of_one(config, overrides)
    study = StudyDir(plan.output / plan.study)
    plan_store.require_same_plan(study, plan)
    preflight.require_capacity(plan.runs, plan.output, Cluster())
    plan_store.write(study, plan)
    plan_store.write_config(study, plan.runs[0])
    run = study.run(plan.runs[0].run_id)
    code = 0 if run.result.exists() else _execute(study, run, config, execute)
    return study, run, code


def _execute(study: StudyDir, run: RunDir, config: RunConfig, execute: Execute) -> int:
    progress = ProgressReader(study, read(study).runs)
    log = study.logs / "mirror.log"
    with view(Console()) as display, live_sync(study, config, log=log) as sync:
        with run_periodically(lambda: display.show(progress.read(), ""), POLL_SECONDS):
            code = execute([run.path])
        sync.end(STOPPED_SECONDS if code == INTERRUPTED else LAST_SECONDS)
        display.show(progress.read(), "")
    return code


def plan_of_one(config: RunConfig, overrides: Sequence[str]) -> Plan:
    """The plan of a study with this run alone, named after it unless the settings name the study."""
    if config.culture == "all" or not isinstance(config.culture, str):
        raise ConfigError(f"culture={config.culture}: train takes one culture; `sweep` takes several.")
    values = {f.name: getattr(config, f.name) for f in fields(RunConfig)}
    plan = build_plan(SweepConfig(**values), overrides)
    (run,) = plan.runs
    study = config.study or run.run_id
    return replace(plan, study=study, runs=(replace(run, config=replace(run.config, study=study)),))
