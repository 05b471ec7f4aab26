"""A signal while samples are drawn interrupts the run; it is no failure of it, and the same command continues."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from execute.test_execute import planned, start
from scoft_hpc.config import compose
from scoft_hpc.config.schema import Variant
from scoft_hpc.evaluation.generate import references_of
from scoft_hpc.execute import execute
from scoft_hpc.study import run_status
from scoft_hpc.study.run_status import Status
from waiting import wait_until


@pytest.mark.slow
def test_a_signal_while_samples_are_drawn_is_no_failure(tmp_path: Path) -> None:
    many = ("evaluation.samples=24", "evaluation.prompts=8", "evaluation.steps=10")
    (run,) = planned(tmp_path, *many, variants=[Variant.base])
    images = references_of(compose.load(run.config))

    def drawn() -> dict[str, int]:
        return {path.name: path.stat().st_mtime_ns for path in images.glob("*.png")}

    process = start([run])
    wait_until(drawn, "the first image", process=process)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 75
    before = drawn()
    assert 0 < len(before) < 24 * 8
    assert not run.failure.exists()
    assert run_status.status(run) is Status.planned
    assert execute([run.path]) == 0
    assert before.items() < drawn().items(), "what was drawn stays"
