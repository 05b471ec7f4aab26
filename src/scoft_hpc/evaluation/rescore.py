"""Samples of finished runs scored again, by other metrics or other networks than the study was planned with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from scoft_hpc.config.schema import RunConfig
from scoft_hpc.console import print_stderr
from scoft_hpc.errors import ScoftError
from scoft_hpc.evaluation.generate import EvaluatedRun
from scoft_hpc.evaluation.scores import score
from scoft_hpc.evaluation.scoring_inputs import ScoringModels
from scoft_hpc.inputs.checkpoints.embedders import resolve
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.models.device import device_of
from scoft_hpc.study.json_files import read_json
from scoft_hpc.study.paths import RunDir
from scoft_hpc.study.periodic import hold


def rescore(
    configs: Mapping[RunDir, RunConfig], device: str, read_manifest: Callable[[RunConfig], Manifest]
) -> list[str]:
    """Score each run under its config; return an error for each run that could not be scored and keeps its old scores.

    Args:
        device: auto, cpu, cuda or cuda:N.
        read_manifest: reads a run's culture; passed in, since this package must not import `training`.

    Raises:
        ConfigError: if a network is missing.
    """
    checkpoints = {scoring: resolve(scoring) for scoring in {config.scoring for config in configs.values()}}
    models = {scoring: ScoringModels(checkpoints[scoring], device_of(device)) for scoring in checkpoints}
    faults = []
    for number, (run, config) in enumerate(configs.items(), 1):
        print_stderr(f"[{number}/{len(configs)}] {run.run_id}")
        try:
            with hold(run.lease):
                known = read_json(run.scores).get("metrics", {})
                evaluated = EvaluatedRun(run, config, read_manifest(config), lane=0)
                score(evaluated, models[config.scoring], keep=known)
        except (ScoftError, OSError) as error:
            faults.append(f"{run.run_id}: {error}")
    return faults
