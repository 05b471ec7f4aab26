"""Failures told apart: what is tried again, with what changed, how often, and what waits for a person."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch

from scoft_hpc.execute import _cause
from scoft_hpc.launch.tracking.retry_policy import CAUSES
from scoft_hpc.study import run_status
from scoft_hpc.study.run_status import Status
from slurm.machine import Machine
from slurm.studies_on_slurm import SlurmStudy, paced

GPU = "cluster.gpus={{any: {{type: '', memory_gb: {memory}, most_memory_gb: {most}}}}}"
"""The job takes most of it, not more: Slurm would kill it at its next check."""


TRIES = 3
"""In place of the policy's ten, each of which Slurm lets wait."""


def assert_ends_once_failed(study: SlurmStudy, cause: str) -> None:
    """It was started once, no other job came after it, and a sweep leaves it to a person."""
    study.wait(lambda: study.state().status is Status.failed, "the failure")
    study.wait_idle()
    assert study.state().cause == cause
    assert f"1 run failed (1 {cause})" in study.sweep().text
    assert len(study.attempts()) == 1 and not study.living()


def test_out_of_gpu_memory_is_sent_again_with_half_the_lanes(cluster: Machine, tmp_path: Path) -> None:
    study = paced(cluster, tmp_path, "cluster.lanes=8", runs=8, lanes=1, pace=0.01)
    assert study.sweep().code == 0
    study.wait_done()
    study.wait_idle()
    sizes = [len(task) for one in study.batches() for task in one.tasks]
    assert sorted(sizes) == [1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 4, 4, 8]
    assert set(study.starts().values()) == {4}
    assert len(study.lines("published.txt")) == 8


def test_out_of_host_memory_is_sent_again_with_twice_of_it(cluster: Machine, tmp_path: Path) -> None:
    """The process takes nearly all that the job has, and is killed as the kernel would."""
    study = paced(cluster, tmp_path, GPU.format(memory=1, most=2), hog_gb=0.82, pace=0.01)
    assert study.sweep().code == 0
    study.wait_done()
    study.wait_idle()
    first, second = study.attempts()
    assert (first.cause, first.code) == ("host memory", -signal.SIGKILL)
    assert "held 0.9 GB of the 1 GB" in first.note
    assert (first.memory_gb, second.memory_gb) == (1.0, 2.0)
    assert len(study.lines("published.txt")) == 1


def test_memory_beyond_the_profiles_most_is_not_asked_for_for_ever(cluster: Machine, tmp_path: Path) -> None:
    study = paced(cluster, tmp_path, GPU.format(memory=1, most=1), hog_gb=0.82, pace=0.01)
    assert study.sweep().code == 0
    study.wait(lambda: len(study.attempts()) == CAUSES["host memory"].tries, "the attempts")
    study.wait_idle()
    state = study.state()
    assert (state.status, state.cause) == (Status.failed, "host memory")
    assert len(study.attempts()) == CAUSES["host memory"].tries
    assert "1 run failed (1 host memory)" in study.sweep().text


def test_errors_are_told_apart() -> None:
    with pytest.raises(RuntimeError) as host:
        torch.empty(10**15)
    assert _cause(host.value) == "host memory"
    assert _cause(MemoryError()) == "host memory"
    assert _cause(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")) == "gpu memory"
    assert _cause(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling")) == "gpu memory"
    assert _cause(FloatingPointError("the loss is not finite")) == "nan"
    assert _cause(OSError(28, "No space left on device")) == "disk"
    assert _cause(KeyError("a bug")) == "error"


def test_a_users_bug_ends_the_job_with_an_error_code_and_waits_for_a_person(
    cluster: Machine, tmp_path: Path
) -> None:
    study = paced(cluster, tmp_path, end="exit", at=3, pace=0.01)
    assert study.sweep().code == 0
    assert_ends_once_failed(study, "error")
    assert "exit code 1 before it could keep a reason; its log tells" in study.state().note
    (entry,) = [entry for entry in study.states().values() if entry.entry]
    assert entry.entry is not None and entry.entry.state == "FAILED"


def test_a_loss_that_is_not_finite_waits_for_a_person_with_its_reason(
    cluster: Machine, tmp_path: Path
) -> None:
    study = paced(cluster, tmp_path, fail="nan", at=3, pace=0.01)
    assert study.sweep().code == 0
    assert_ends_once_failed(study, "nan")
    failure = run_status.failure(study.runs[0])
    assert failure is not None and (failure["message"], failure["step"]) == ("as ordered", 3)


def test_a_run_that_fails_in_its_pack_leaves_the_others_to_finish(cluster: Machine, tmp_path: Path) -> None:
    study = paced(cluster, tmp_path, runs=2, fail="nan", at=10, of=["korea-base-s0"], pace=0.01)
    assert study.sweep().code == 0
    study.wait(lambda: study.runs[1].result.exists(), "the second one's result")
    study.wait_idle()
    assert [state.status for state in study.states().values()] == [Status.failed, Status.done]
    assert len(study.attempts()) == 1


@pytest.mark.parametrize("at", [1, 4])
def test_a_crash_loop_ends_after_so_many_attempts_without_progress_and_keeps_the_reason(
    cluster: Machine, tmp_path: Path, at: int
) -> None:
    """Its process is killed over and over, at the start or wherever it comes to."""
    study = paced(cluster, tmp_path, end="kill", at=at, pace=0.01)
    assert study.sweep().code == 0
    tries = CAUSES["lost"].tries + (at > 1)  # the first one has come somewhere
    study.wait(lambda: len(study.attempts()) == tries, f"attempt {tries}")
    study.wait_idle()
    state = study.state()
    assert len(study.attempts()) == tries and not study.living()
    assert state.cause in ("lost", "no progress") and state.tries >= CAUSES["lost"].tries
    assert "SIGKILL" in state.note
    study.order(end=None)
    assert "sent: 1 train" in study.sweep().text, "a person's request counts from the start"
    study.wait_done()
    study.wait_idle()


def test_requeues_by_slurm_itself_without_progress_come_to_an_end(cluster: Machine, tmp_path: Path) -> None:
    """A site that preempts for ever, a node that is no good: nobody but the next start can count."""
    study = paced(cluster, tmp_path, saves=0, pace=3600.0, tries={"preempted": TRIES})
    assert study.sweep().code == 0
    (run,) = study.runs
    starts = 0
    while starts < TRIES + 1 and not run.failure.exists():
        study.wait_starts(starts := starts + 1)
        cluster.run("scontrol", "requeue", study.attempts()[-1].job)
        study.wait(lambda: run.failure.exists() or len(study.attempts()) > starts, "the next start")
    study.wait_idle()
    failure = run_status.failure(run)
    assert failure is not None and failure["cause"] == "no progress"
    message = f"{TRIES} attempts in a row saved nothing new; the last one ended on: preempted"
    assert failure["message"] == message
    assert starts == len(study.lines("started.txt")) == TRIES
