"""Runs of a study that are planned and not begun, for `execute`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from scoft_hpc.config import compose
from scoft_hpc.config.identity import run_id
from scoft_hpc.config.schema import RunConfig, Variant
from scoft_hpc.study.paths import RunDir

ARGUMENTS = (
    "culture=korea",
    "train.steps=6",
    "data.negatives.steps=2",
    "evaluation.steps=2",
    "evaluation.samples=2",
    "evaluation.prompts=3",
    "evaluation.neutral=1",
    "data.pairs=8",
    "threads=1",
)


def planned(output: Path, *arguments: str, variants: Sequence[Variant] = (Variant.mpc,)) -> list[RunDir]:
    """Run directories with nothing but a config."""
    names = {argument.partition("=")[0] for argument in arguments}
    usual = [argument for argument in ARGUMENTS if argument.partition("=")[0] not in names]
    config: RunConfig = compose.compose("train", [*usual, f"output={output}", *arguments])
    runs = []
    for variant in variants:
        one = replace(config, variant=variant)
        run = RunDir(output / "study" / "runs" / run_id(one))
        run.path.mkdir(parents=True)
        run.config.write_text(compose.dump(one))
        runs.append(run)
    return runs


def weights(run: RunDir) -> dict[str, Any]:
    return {name: tensor.tolist() for name, tensor in load_file(run.lora).items()}
