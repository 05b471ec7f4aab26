"""Train, sample and score planned run directories as one pack: what a job does.

`python -m scoft_hpc.execute RUN_DIR ...` trains, samples and scores these runs as one pack; with `--prepare` it
only prepares their cultures. It reads and writes nothing but the runs' directories and the caches. Finished runs are
skipped, interrupted ones continue, and a run that fails stops alone. On SIGTERM, SIGINT, SIGUSR1 or SIGUSR2 it saves at
the next step and exits with 75: the job can be continued. The control plane and the compute plane meet in this module.

Importing this module loads no torch, because it is imported on the login node.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scoft_hpc.config import compose
from scoft_hpc.console import console_command, program
from scoft_hpc.errors import INTERRUPTED, ConfigError, RunError, ScoftError
from scoft_hpc.study import provenance, run_status
from scoft_hpc.study.interrupt import Interrupted, StopFlag
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.paths import RunDir
from scoft_hpc.study.periodic import run_periodically

if TYPE_CHECKING:
    from scoft_hpc.models.diffusion_model import DiffusionModel
    from scoft_hpc.training.pack_builder import PackRun

log = logging.getLogger(__name__)
RENEWAL_INTERVAL_SECONDS = 60.0
"""How often the leases are renewed, however long a training step takes."""


def execute(runs: Sequence[Path]) -> int:
    """Train, sample and score the runs of a pack, up to their result.json.

    Returns:
        0 if all are done, 4 if some failed or belong to another process (the others finished), 75 if interrupted.
    """
    _log_to_stderr()
    pack, stop = [RunDir(path) for path in runs], StopFlag()
    with stop.capture_signals(), contextlib.ExitStack() as stack:
        leases = dict(_acquire(pack, stack))
        try:
            with run_periodically(lambda: _renew(list(leases.values()), stop), RENEWAL_INTERVAL_SECONDS):
                if leases:
                    _run_pack(leases, stop)
        except Interrupted:
            log.info("interrupted; progress is saved, and the same command continues")
            return INTERRUPTED
    return 0 if all(run.result.exists() for run in pack) else RunError.exit_code


def prepare(runs: Sequence[Path]) -> int:
    """Make the caches of the runs' cultures: negatives, latents and text states. Idempotent.

    Returns:
        0 if all exist, 75 if interrupted; a half-made cache is made again.

    Raises:
        ScoftError: for settings or data that cannot be used.
    """
    from scoft_hpc.training.pack_builder import prepare_cultures

    _log_to_stderr()
    stop = StopFlag()
    with stop.capture_signals():
        try:
            prepare_cultures([compose.load(RunDir(run).config) for run in runs], stop)
        except Interrupted:
            log.info("interrupted; the same command makes what is missing")
            return INTERRUPTED
    return 0


def _run_pack(leases: dict[RunDir, Lease], stop: StopFlag) -> None:
    """Build the pack, train it, evaluate it. An error that stops the whole pack is every run's failure."""
    from scoft_hpc.training.loop import train
    from scoft_hpc.training.pack_builder import build, initial_microbatch

    attempts = {run: run_status.start_attempt(run) for run in leases}
    try:
        base, pack, faults = build(list(leases), stop)
        for run, fault in faults.items():
            _fail(run, leases[run], fault)
        for pack_run in pack:
            config = pack_run.config
            provenance.write(pack_run.run, str(base.device), config.data.digest, config.model.digest)
        first = pack[0].config
        lane_runs = [pack_run.lane_run for pack_run in pack if pack_run.lane_run]
        microbatch = initial_microbatch(first, len(lane_runs), base.device)
        train(
            base, lane_runs, stop, first.save_seconds, microbatch, lambda: _renew(list(leases.values()), stop)
        )
        for lane_run in lane_runs:
            if lane_run.error:
                _fail(lane_run.run, leases[lane_run.run], lane_run.error)
        _evaluate(base, [p for p in pack if not p.run.failure.exists()], leases, attempts, stop)
    except Exception as error:
        for run, lease in leases.items():
            if not run.result.exists() and not run.failure.exists():
                _fail(run, lease, error)


def _evaluate(
    base: DiffusionModel,
    pack: Sequence[PackRun],
    leases: dict[RunDir, Lease],
    attempts: dict[RunDir, int],
    stop: StopFlag,
) -> None:
    """Export each lane's adapter, draw its samples, score them and publish the result; a run that fails stops alone."""
    from scoft_hpc.evaluation.generate import EvaluatedRun, generate
    from scoft_hpc.evaluation.scores import score
    from scoft_hpc.evaluation.scoring_inputs import ScoringModels

    if not pack:
        return
    models = ScoringModels(pack[0].config.scoring, base.device)
    evaluated = {p.run: EvaluatedRun(p.run, p.config, p.manifest, p.index) for p in pack}
    started = time.monotonic()
    try:
        generate(base, list(evaluated.values()), stop)
    except Exception:  # of one of the runs; below, each run is drawn alone
        log.exception("the runs' samples could not be drawn together; trying one by one")
    generate_seconds = (time.monotonic() - started) / len(pack)
    for pack_run in pack:
        stop.raise_if_set()
        run, started = pack_run.run, time.monotonic()
        try:
            generate(base, [evaluated[run]], stop)
            score(evaluated[run], models)
            _export(base, pack_run)
            seconds = {
                "train": pack_run.lane_run.lane.seconds if pack_run.lane_run else 0.0,
                "generate": generate_seconds,
                "score": time.monotonic() - started,
            }
            run_status.write_result(run, leases[run], attempts[run], seconds)
        except Exception as error:
            _fail(run, leases[run], error)


def _export(base: DiffusionModel, pack_run: PackRun) -> None:
    """Write a trained run's adapter, also in kohya's format if `lora.kohya` is set, and its model card."""
    from scoft_hpc.inputs.prompts import evaluation_prompts, model_prompts, sample_name
    from scoft_hpc.models import model_card

    if pack_run.lane_run is None or base.lora is None:
        return
    run, config = pack_run.run, pack_run.config
    base.lora.export(pack_run.index, run.lora)
    if config.lora.kohya:
        base.lora.export_kohya(pack_run.index, run.lora_kohya, run.run_id)
    prompts = model_prompts(config, evaluation_prompts(config, pack_run.manifest))
    shown = [(text, f"samples/{sample_name(p, 0)}") for p, text in enumerate(prompts)]
    model_card.write_card(run.card, config, pairs=len(pack_run.manifest.pairs), samples=shown)


def _fail(run: RunDir, lease: Lease, error: Exception) -> None:
    """Record the reason of a failure and log it: expected errors in one line, others with their traceback.

    Nothing is recorded for a run that another process has taken over.
    """
    if isinstance(error, (ScoftError, OSError)):
        log.error("%s failed: %s", run.run_id, error)
    else:
        log.error("%s failed", run.run_id, exc_info=error)
    if not lease.is_held():
        return
    try:
        run_status.write_failure(run, _cause(error), str(error) or type(error).__name__, run_status.step(run))
    except OSError as full:
        log.error("%s: the reason cannot be recorded either: %s", run.run_id, full)


def _cause(error: Exception) -> str:
    """The kind of failure, one of those that `launch.tracking.retry_policy` has a policy for."""
    from scoft_hpc.models.device import out_of_memory

    if isinstance(error, FloatingPointError):
        return "nan"
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
        return "host memory"
    if out_of_memory(error):
        return "gpu memory"
    if isinstance(error, OSError):
        return "disk"
    if isinstance(error, ScoftError) and error.exit_code == ConfigError.exit_code:
        return "settings"
    return "error"


def _acquire(runs: Sequence[RunDir], stack: contextlib.ExitStack) -> Iterator[tuple[RunDir, Lease]]:
    """The unfinished runs whose lease this process now has; runs of other processes are left out."""
    for run in runs:
        if run.result.exists():
            continue
        try:
            lease = Lease.acquire(run.lease)
        except RunError as error:
            log.warning("%s", error)
            continue
        stack.callback(lease.release)
        if not run.result.exists():  # another process may have finished it since the check above
            yield run, lease


def _renew(leases: Sequence[Lease], stop: StopFlag) -> bool:
    """Renew the leases. False if one is lost: another process works on these runs now, and this one stops."""
    lost = [lease for lease in leases if not lease.renew()]
    for lease in lost:
        log.warning("%s was taken over by another process", lease.path.parent.name)
        stop.requested = True
    return not lost


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(message)s")


@console_command
def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog=program("execute"), description="Run a pack of run directories.")
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN_DIR", help="a folder with a config.yaml")
    parser.add_argument(
        "--prepare", action="store_true", help="only make what the cultures need before training"
    )
    args = parser.parse_args(argv)
    return prepare(args.runs) if args.prepare else execute(args.runs)


if __name__ == "__main__":
    raise SystemExit(main())
