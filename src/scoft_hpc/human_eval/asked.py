"""What a person typed after `scoft-hpc survey VERB`, as each verb's room gets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from scoft_hpc.study.paths import StudyDir


@dataclass(frozen=True)
class Asked:
    """A verb's words.

    Attributes:
        study: the study that was named, or the latest.
        cultures: those chosen with `culture=korea,china`, in the plan's order; all by default.
        words: the verb's own settings, `port=8000` as {"port": "8000"}; only those that `survey.VERBS` has for it.
    """

    study: StudyDir
    cultures: tuple[str, ...]
    words: Mapping[str, str]
