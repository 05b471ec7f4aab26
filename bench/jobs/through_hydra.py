"""The trivial jobs as a Hydra application: `--multirun hydra/launcher=submitit_slurm +number=0,1,…` sends them."""

from __future__ import annotations

import hydra
from nap import nap
from omegaconf import DictConfig


@hydra.main(version_base="1.3", config_path=None)
def main(config: DictConfig) -> int:
    return nap(config.number)


if __name__ == "__main__":
    main()
