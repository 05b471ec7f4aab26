"""`python -m scoft_hpc.train culture=korea`: one run alone, here and now, with a progress bar."""

from __future__ import annotations

import sys
from pathlib import Path

from scoft_hpc.config.compose import command
from scoft_hpc.config.schema import RunConfig


def train(config: RunConfig) -> int:
    ...


def main() -> int:
    return command("train", train)


if __name__ == "__main__":
    sys.exit(main())
