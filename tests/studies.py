"""A study's files, made by hand: what a status or a display has to read."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from scoft_hpc.config.identity import run_id
from scoft_hpc.config.schema import RunConfig, Train, Variant
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.planning.plan import Plan, Run
from scoft_hpc.study import atomic, run_status
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.metrics_log import STEP, MetricsLog
from scoft_hpc.study.paths import RunDir, StudyDir

STEPS = 40


def plan_study(output: Path, cultures: list[str], seeds: int = 1, name: str = "a-study") -> StudyDir:
    """Every variant of every culture, planned and nothing more."""
    config = RunConfig(output=str(output), train=Train(steps=STEPS))
    runs = []
    for culture in cultures:
        for variant in Variant:
            for seed in range(seeds):
                run = replace(config, culture=culture, variant=variant, seed=seed)
                runs.append(Run(run_id(run), run, 0 if variant is Variant.base else STEPS))
    study = StudyDir(output / name)
    plan_store.write(study, Plan(name, "loss_terms", output, (), tuple(runs)))
    return study


def run_of(study: StudyDir, start: str) -> RunDir:
    """The run whose id starts so."""
    from scoft_hpc.study.plan_file import read

    return next(study.run(r.run_id) for r in read(study).runs if r.run_id.startswith(start))


def train(run: RunDir, steps: int) -> None:
    run.path.mkdir(parents=True, exist_ok=True)
    journal = MetricsLog(run.metrics, run_status.step(run))
    for step in range(run_status.step(run) + 1, steps + 1):
        journal.append({STEP: step, "loss": 1.0})
    journal.close()


def hold(run: RunDir) -> Lease:
    """Own the run: it counts as running while this process lives."""
    return Lease.acquire(run.lease)


def lose(run: RunDir) -> None:
    """Leave the lease of a process that is gone."""
    lease = Lease.acquire(run.lease)
    text = run.lease.read_text().replace(f'"pid": {lease.owner.pid}', '"pid": 99999999')
    run.lease.write_text(text)


def draw(run: RunDir, samples: int) -> None:
    run.samples.mkdir(parents=True, exist_ok=True)
    for i in range(samples):
        (run.samples / f"p{i:02d}-s00.png").touch()


def finish(run: RunDir) -> None:
    atomic.write_json(run.result, {"run_id": run.run_id, "finished": time.time()})
