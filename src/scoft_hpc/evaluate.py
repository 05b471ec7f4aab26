"""Score the samples of finished runs again with other metrics or networks, without training or sampling.

    python -m scoft_hpc.evaluate [STUDY] [RUN ...] [culture=korea] [scoring.metrics=[kid,cmmd]] [--device cuda]

Overrides of `scoring` replace the planned settings; scores.json, the table and the report are written again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from scoft_hpc.config import compose, validation
from scoft_hpc.console import console_command, print_stderr
from scoft_hpc.errors import ConfigError, RunError
from scoft_hpc.launch.views import selection
from scoft_hpc.results import terminal
from scoft_hpc.results.gather import gather

GROUP = "scoring."


@console_command
def main(argv: Sequence[str] | None = None) -> int:
    parser = selection.parser("evaluate", "Score the samples of finished runs again.")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    choice = selection.parse_selection(parser, argv, settings=True)
    changes = _changes(choice.settings)
    runs = [choice.study.run(run.run_id) for run in choice.chosen]
    done = [run for run in runs if run.result.exists()]
    if not done:
        raise RunError(
            f"none of the chosen runs of {choice.study.name} is done; there are no samples to score."
        )
    configs = {run: compose.load(run.config) for run in done}
    configs = {
        run: replace(config, scoring=replace(config.scoring, **changes)) for run, config in configs.items()
    }
    validation.require_valid(configs.values())
    from scoft_hpc.evaluation.rescore import rescore  # it loads torch
    from scoft_hpc.training.pack_builder import read_manifest

    faults = rescore(configs, choice.flags.device, read_manifest)
    terminal.show(gather(choice.study))
    for fault in faults:
        print_stderr(f"error: {fault}")
    return RunError.exit_code if faults else 0


def _changes(overrides: Sequence[str]) -> dict[str, Any]:
    """The fields of `scoring` that the overrides set, validated like all settings.

    Raises:
        ConfigError: for all faults.
    """
    not_scoring = [text for text in overrides if not text.startswith(GROUP)]
    if not_scoring:
        raise ConfigError.from_messages(
            [
                f"`{text}`: evaluate takes settings of `scoring` alone; samples stay as they are."
                for text in not_scoring
            ]
        )
    scoring = compose.compose("train", overrides).scoring
    names = [text.partition("=")[0].removeprefix(GROUP) for text in overrides]
    return {name: getattr(scoring, name) for name in names}


if __name__ == "__main__":
    raise SystemExit(main())
