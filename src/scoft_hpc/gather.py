"""Gather a study's results from disk at any time: table, report and W&B.

python -m scoft_hpc.gather [STUDY] [--output DIR] [--wandb MODE] [--tensorboard]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scoft_hpc.config.schema import RunConfig, WandbMode
from scoft_hpc.console import program, run_command
from scoft_hpc.errors import ConfigError, LaunchError
from scoft_hpc.results import tensorboard, terminal
from scoft_hpc.results.gather import gather
from scoft_hpc.study.paths import STUDY, StudyDir, studies

if TYPE_CHECKING:
    pass

WORDS = {"study": "study", "output": "output", "wandb.mode": "wandb", "tensorboard": "tensorboard"}
"""Hydra's way of saying the same, which fingers know from `sweep`."""


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(lambda: _run(argv))


def _run(argv: Sequence[str] | None) -> int:
    asked = _parse(argv)
    mode = None if asked.wandb is None else _mode(asked.wandb)
    terminal.show(gather(_find(asked.study, Path(asked.output)), mode, _events(asked.tensorboard)))
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program("gather"), description=__doc__)
    parser.add_argument(
        "study", nargs="*", metavar="STUDY", help="name or folder; the one planned last by default"
    )
    parser.add_argument("--output", default=RunConfig().output, metavar="DIR", help="where studies lie")
    parser.add_argument("--wandb", metavar="MODE", help="offline, online or disabled; as planned by default")
    parser.add_argument("--tensorboard", action="store_const", const="true", help="event files too")
    asked = parser.parse_args(argv)
    names = []
    for word in asked.study:
        key, equals, value = word.partition("=")
        if not equals:
            names.append(word)
        elif key not in WORDS:
            raise ConfigError(f"`{word}`: gather has no setting `{key}`; it has {', '.join(WORDS)}.")
        elif key == "study":
            names.append(value)
        else:
            setattr(asked, WORDS[key], value)
    if len(names) > 1:
        raise ConfigError(f"one study at a time, not {len(names)}: {', '.join(names)}.")
    asked.study = names[0] if names else None
    return asked


def _mode(word: str) -> WandbMode:
    if word not in WandbMode.__members__:
        raise ConfigError(f"`{word}` is no mode of W&B; there are {', '.join(WandbMode.__members__)}.")
    return WandbMode[word]


def _events(word: str | None) -> bool | None:
    if word not in (None, "true", "false"):
        raise ConfigError(f"tensorboard={word}: expected true or false.")
    if word == "true":
        tensorboard.require()
    return None if word is None else word == "true"


def _find(name: str | None, output: Path) -> StudyDir:
    """The named study, or the one planned last."""
    found = studies(output)
    if name is None:
        if not found:
            raise LaunchError(f"no study below {output.absolute()}; `scoft-hpc sweep` plans and runs one.")
        return found[0]
    folder = Path(name) if (Path(name) / "plan.json").is_file() else output / name
    if not (folder / "plan.json").is_file() or not STUDY.fullmatch(folder.absolute().name):
        there = ", ".join(study.name for study in found) or "none"
        raise LaunchError(f"no study `{name}` below {output.absolute()}; there: {there}.")
    return StudyDir(folder)


if __name__ == "__main__":
    raise SystemExit(main())
