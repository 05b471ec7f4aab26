"""A launcher's process: `python launcher_process.py OUTPUT JOBS CULTURE...` sends a study of four runs a culture.

With JOB_LIVE in the environment their curves go to W&B and TensorBoard meanwhile.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from scoft_hpc.config.identity import run_id
from scoft_hpc.config.schema import RunConfig, Train, Variant, Wandb, WandbMode
from scoft_hpc.errors import RunError
from scoft_hpc.launch.local.run_study import run_study, watch_study
from scoft_hpc.launch.planning.host_resources import job_slots
from scoft_hpc.launch.planning.plan import Plan, Run
from scoft_hpc.study.paths import StudyDir

VARIANTS = (Variant.ldm, Variant.m, Variant.mp, Variant.mpc)
STEPS = 30


def plan(output: Path, cultures: list[str]) -> Plan:
    live = "JOB_LIVE" in os.environ
    wandb = Wandb(mode=WandbMode.online, live=True) if live else Wandb()
    config = RunConfig(output=str(output), train=Train(steps=STEPS), wandb=wandb, tensorboard=live)
    configs = [replace(config, culture=c, variant=v) for c in cultures for v in VARIANTS]
    runs = tuple(Run(run_id(config), config, STEPS) for config in configs)
    return Plan("study", "loss_terms", output, (), runs)


def main(output: Path, jobs: int, cultures: list[str]) -> int:
    study, planned = StudyDir(output / "study"), plan(output, cultures)
    console = Console(width=200)
    places = job_slots("cpu", jobs, 1, len(planned.runs))
    try:
        outcome = run_study(study, planned, places, None, console, job_module="paced_job")
    except RunError as error:
        console.print(f"following: {error}")
        return 0 if watch_study(study, console) else 130
    for name, reason in outcome.lost_reasons.items():
        console.print(f"{name}: {reason}")
    return 130 if outcome.stopped else 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
