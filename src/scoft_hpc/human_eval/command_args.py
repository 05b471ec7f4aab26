"""The parsed arguments of a `scoft-hpc survey` command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scoft_hpc.study.paths import StudyDir


@dataclass(frozen=True)
class CommandArgs:
    """Attributes:
    study: the study that was named, or the latest.
    cultures: those selected with `culture=korea,china`, in the plan's order; all by default.
    settings: the command's own settings, `port=8000` as {"port": "8000"}; the keys are in `survey.SUBCOMMANDS`.
    """

    study: StudyDir
    cultures: tuple[str, ...]
    settings: Mapping[str, str]
