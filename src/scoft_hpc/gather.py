"""Gather a study's results from disk at any time: table, report and W&B.

python -m scoft_hpc.gather [STUDY] [--output DIR] [--wandb MODE] [--tensorboard]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from scoft_hpc.config.schema import RunConfig, WandbMode
from scoft_hpc.console import console_command, program
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.views.selection import find_study
from scoft_hpc.results import tensorboard, terminal
from scoft_hpc.results.gather import gather

OVERRIDES = {"study": "study", "output": "output", "wandb.mode": "wandb", "tensorboard": "tensorboard"}
"""The same options as Hydra overrides, as `sweep` takes them."""


@console_command
def main(argv: Sequence[str] | None = None) -> int:
    args = _parse(argv)
    mode = None if args.wandb is None else _mode(args.wandb)
    terminal.show(gather(find_study(Path(args.output), args.study), mode, _events(args.tensorboard)))
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=program("gather"), description=__doc__)
    parser.add_argument(
        "study", nargs="*", metavar="STUDY", help="name or directory; the latest study by default"
    )
    parser.add_argument(
        "--output", default=RunConfig().output, metavar="DIR", help="directory of the studies"
    )
    parser.add_argument("--wandb", metavar="MODE", help="offline, online or disabled; as planned by default")
    parser.add_argument("--tensorboard", action="store_const", const="true", help="event files too")
    args = parser.parse_args(argv)
    names = []
    for arg in args.study:
        key, equals, value = arg.partition("=")
        if not equals:
            names.append(arg)
        elif key not in OVERRIDES:
            raise ConfigError(f"`{arg}`: gather has no setting `{key}`; it has {', '.join(OVERRIDES)}.")
        elif key == "study":
            names.append(value)
        else:
            setattr(args, OVERRIDES[key], value)
    if len(names) > 1:
        raise ConfigError(f"expected one study, not {len(names)}: {', '.join(names)}.")
    args.study = names[0] if names else None
    return args


def _mode(mode: str) -> WandbMode:
    if mode not in WandbMode.__members__:
        raise ConfigError(f"`{mode}` is not a W&B mode; expected one of {', '.join(WandbMode.__members__)}.")
    return WandbMode[mode]


def _events(value: str | None) -> bool | None:
    if value not in (None, "true", "false"):
        raise ConfigError(f"tensorboard={value}: expected true or false.")
    if value == "true":
        tensorboard.require()
    return None if value is None else value == "true"


if __name__ == "__main__":
    raise SystemExit(main())
