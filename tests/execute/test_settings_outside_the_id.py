"""A setting that a run's id leaves out changes nothing that the run computes: bit for bit, with the real toy base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scoft_hpc.config import compose
from scoft_hpc.config.identity import run_id
from scoft_hpc.execute import execute
from scoft_hpc.study import metrics_log
from scoft_hpc.study.paths import RunDir

ARGUMENTS = (
    "culture=korea",
    "train.steps=3",
    "objective.every=5",
    "data.pairs=4",
    "data.negatives.steps=2",
    "evaluation.steps=2",
    "evaluation.samples=1",
    "evaluation.prompts=2",
    "threads=1",
)
NO_CONTRAST = (
    "objective.form=triplet",
    "objective.triplet_margin=0.7",
    "data.negatives.source=txt2img",
    "data.negatives.per_positive=2",
)
NO_ROLLOUT = (
    *NO_CONTRAST,
    "objective.distance=dreamsim",
    "objective.w_c=9",
    "objective.every=2",
    "objective.cadence=update",
    "objective.gradient=random",
    "objective.guidance=2",
    "objective.rollout_steps=7",
)
IDLE = {
    "ldm": (*NO_ROLLOUT, "objective.w_m=9"),
    "mp": NO_CONTRAST,
}
"""What a variant does not use, each at another value."""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the toy world is rendered, once for all runs."""
    return tmp_path_factory.mktemp("outputs")


def ended(output: Path, study: str, variant: str, arguments: tuple[str, ...]) -> RunDir:
    """The run, from its settings to its result."""
    changed = {argument.partition("=")[0] for argument in arguments}
    usual = [argument for argument in ARGUMENTS if argument.partition("=")[0] not in changed]
    config = compose.compose("train", [*usual, *arguments, f"variant={variant}", f"output={output}"])
    run = RunDir(output / study / "runs" / run_id(config))
    run.path.mkdir(parents=True)
    run.config.write_text(compose.dump(config))
    assert execute([run.path]) == 0
    return run


def computed(run: RunDir) -> dict[str, Any]:
    """All that the run computed: losses, adapter, samples and scores."""
    rows = [
        {key: value for key, value in row.items() if key != "seconds"}
        for row in metrics_log.read(run.metrics)
    ]
    return {
        "losses": json.dumps(rows),
        "adapter": run.lora.read_bytes(),
        "samples": [path.read_bytes() for path in sorted(run.samples.glob("*.png"))],
        "scores": run.scores.read_bytes(),
    }


@pytest.mark.slow
@pytest.mark.parametrize("variant", IDLE)
def test_the_run_is_the_same_bit_for_bit(output: Path, variant: str) -> None:
    one, other = ended(output, "one", variant, ()), ended(output, "other", variant, IDLE[variant])
    assert one.run_id == other.run_id
    assert one.config.read_text() != other.config.read_text()
    assert len(list(metrics_log.read(one.metrics))) == 3
    assert computed(one) == computed(other)
