"""A run that is interrupted, killed or taken over goes on where it was, and is no failure."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from execute.planned_runs import planned, weights
from scoft_hpc.config import compose
from scoft_hpc.config.schema import Variant
from scoft_hpc.evaluation.generate import references_of
from scoft_hpc.execute import execute
from scoft_hpc.study import lease, metrics_log, run_status
from scoft_hpc.study.paths import RunDir
from scoft_hpc.study.run_status import Status
from waiting import wait_until

LONGER = ("train.steps=12",)
"""Of runs that are broken off in their midst."""


def start(runs: Sequence[RunDir]) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-m", "scoft_hpc.execute", *(str(run.path) for run in runs)]
    return subprocess.Popen(arguments, stderr=subprocess.DEVNULL)


def wait_for_step(run: RunDir, step: int, process: subprocess.Popen[bytes]) -> None:
    wait_until(lambda: run_status.step(run) >= step, f"step {step}", process=process)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The weights of such a run that nothing has disturbed."""
    (run,) = planned(tmp_path_factory.mktemp("straight"), *LONGER)
    assert execute([run.path]) == 0
    return weights(run)


@pytest.mark.slow
def test_each_signal_saves_and_the_same_command_continues_bit_for_bit(
    tmp_path: Path, straight: dict[str, Any]
) -> None:
    (run,) = planned(tmp_path, *LONGER)
    for number, step in ((signal.SIGTERM, 2), (signal.SIGINT, 5), (signal.SIGUSR1, 8)):
        process = start([run])
        wait_for_step(run, step, process)
        process.send_signal(number)
        assert process.wait() == 75
        assert run_status.status(run) is Status.planned
        assert run_status.progress(run) >= step
    assert execute([run.path]) == 0
    assert weights(run) == straight


@pytest.mark.slow
def test_a_killed_run_is_lost_and_continues_from_its_last_save(
    tmp_path: Path, straight: dict[str, Any]
) -> None:
    (run,) = planned(tmp_path, *LONGER, "save_seconds=0.0")
    process = start([run])
    wait_for_step(run, 3, process)
    process.kill()
    process.wait()
    assert run_status.status(run) is Status.lost
    assert execute([run.path]) == 0
    assert weights(run) == straight
    assert [row[metrics_log.STEP] for row in metrics_log.read(run.metrics)] == list(range(1, 13))


@pytest.mark.slow
def test_a_run_that_another_process_owns_is_left_to_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = planned(tmp_path, variants=[Variant.ldm, Variant.m])
    hold = lease.Lease.acquire(first.lease)
    assert execute([first.path, second.path]) == 4
    hold.release()
    assert f"process {os.getpid()}" in caplog.text
    assert (run_status.status(first), run_status.status(second)) == (Status.planned, Status.done)


@pytest.mark.slow
def test_a_process_whose_run_was_taken_over_saves_no_more(tmp_path: Path) -> None:
    """As one that goes on after Slurm has given its node up; two that save would tear the lanes' saves apart."""
    (run,) = planned(tmp_path, "train.steps=500", "save_seconds=0.0")
    process = start([run])
    wait_for_step(run, 3, process)
    process.send_signal(signal.SIGSTOP)
    holder = lease.owner(run.lease)
    assert holder is not None and lease.revoke(run.lease, holder)
    with lease.Lease.acquire(run.lease):
        saved = run_status.progress(run)
        process.send_signal(signal.SIGCONT)
        assert process.wait() == 75
    assert run_status.progress(run) <= saved + 1  # a save that it was in the midst of


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
