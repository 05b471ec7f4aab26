"""Score the samples of finished runs anew: other metrics, or other networks to judge by. Nothing is trained or drawn.

    python -m scoft_hpc.evaluate [STUDY] [RUN ...] [culture=korea] [scoring.metrics=[kid,cmmd]] [--device cuda]

Words of `scoring` replace what the study was planned with; scores.json, the table and the report are written again.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from scoft_hpc.config import check, compose
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.errors import ConfigError, RunError, ScoftError
from scoft_hpc.gather import show
from scoft_hpc.launch.views import selection
from scoft_hpc.launch.views.selection import Choice
from scoft_hpc.results.gather import gather
from scoft_hpc.study.json_files import read_json
from scoft_hpc.study.lease import Claim
from scoft_hpc.study.paths import RunDir

GROUP = "scoring."


def main() -> int:
    return selection.answer(_main)


def _main() -> int:
    parser = selection.parser("evaluate", "Score the samples of finished runs anew.")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    choice = selection.choose(parser, sys.argv[1:], settings=True)
    changes = _changes(choice.settings)
    done = [run for run in map(choice.study.run, _ids(choice)) if run.result.exists()]
    if not done:
        raise RunError(
            f"none of the chosen runs of {choice.study.name} is done; there are no samples to score."
        )
    faults = _score(done, changes, choice.flags.device)
    show(gather(choice.study))
    for fault in faults:
        print(f"error: {fault}", file=sys.stderr)
    return RunError.exit_code if faults else 0


def _score(runs: Sequence[RunDir], changes: dict[str, Any], device: str) -> list[str]:
    """Score each run; what keeps one from being scored is told, and its old scores stay."""
    from scoft_hpc.evaluation.evidence import Judges
    from scoft_hpc.evaluation.generate import Subject
    from scoft_hpc.evaluation.scores import score
    from scoft_hpc.inputs.checkpoints.embedders import resolve
    from scoft_hpc.models.device import device_of
    from scoft_hpc.training.build import read_manifest

    configs = {run: _changed(compose.load(run.config), changes) for run in runs}
    check.require(configs.values())
    found = {scoring: resolve(scoring) for scoring in {config.scoring for config in configs.values()}}
    judges = {scoring: Judges(found[scoring], device_of(device)) for scoring in found}
    faults = []
    for number, (run, config) in enumerate(configs.items(), 1):
        print(f"[{number}/{len(configs)}] {run.run_id}", file=sys.stderr)
        try:
            claim = Claim.take(run.claim)
            try:
                known = read_json(run.scores).get("metrics", {})
                score(Subject(run, config, read_manifest(config), 0), judges[config.scoring], keep=known)
            finally:
                claim.release()
        except (ScoftError, OSError) as error:
            faults.append(f"{run.run_id}: {error}")
    return faults


def _changes(words: Sequence[str]) -> dict[str, Any]:
    """The fields of `scoring` that the words give, checked as any settings are.

    Raises:
        ConfigError: for all faults.
    """
    foreign = [word for word in words if not word.startswith(GROUP)]
    if foreign:
        raise ConfigError.of(
            [
                f"`{word}`: evaluate takes settings of `scoring` alone; samples stay as they are."
                for word in foreign
            ]
        )
    scoring = compose.compose("train", words).scoring
    names = [word.partition("=")[0].removeprefix(GROUP) for word in words]
    return {name: getattr(scoring, name) for name in names}


def _changed(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    return replace(config, scoring=replace(config.scoring, **changes))


def _ids(choice: Choice) -> Iterator[str]:
    return (run.run_id for run in choice.chosen)


if __name__ == "__main__":
    raise SystemExit(main())
