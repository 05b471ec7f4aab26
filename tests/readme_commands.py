"""The commands that the README shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parents[1]


README = (ROOT / "README.md").read_text()


SHORT = {
    # `make sweep`, which CI runs as it stands, is the sweep at full length.
    "sweep": ["plan=only"],
    "train": [
        "train.steps=2",
        "evaluation.steps=2",
        "evaluation.samples=1",
        "data.pairs=4",
        "data.negatives.steps=2",
    ],
}


CLUSTER = re.search(r"^## On a cluster\n(.*?)^## ", README, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """The indented `python -m scoft_hpc...` lines, without their comments, in order."""
    lines = re.findall(r"^ {4}(python -m scoft_hpc\.\S.*)$", text, flags=re.MULTILINE)
    return [shlex.split(line, comments=True) for line in dict.fromkeys(lines)]


def on_a_cluster() -> list[list[str]]:
    """Those of the section that needs one."""
    assert CLUSTER is not None
    return commands(CLUSTER[1])


def of_surveys() -> list[list[str]]:
    """Those that need a finished study and somebody who answers: `human_eval/test_survey_docs.py` has both."""
    return [command for command in commands(README) if command[2] == "scoft_hpc.survey"]
