"""What a run is, and whether it is sent: every combination of files, what was sent and the queue that can be met."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import pytest

from launch.array_records import NOW, RUN, array, attempt
from scoft_hpc.launch.slurm.client import Queue, QueueEntry
from scoft_hpc.launch.tracking import run_state
from scoft_hpc.launch.tracking.retry_policy import BY_STATE, CAUSES
from scoft_hpc.launch.tracking.run_state import RunFiles, RunState
from scoft_hpc.study.job_array import AccountingRecord, JobArray
from scoft_hpc.study.lease import Owner
from scoft_hpc.study.run_status import Status

NEW = RunFiles(Status.planned, None, None, 0)


def entry(state: str, reason: str = "None", index: int = 0) -> QueueEntry:
    return QueueEntry(7, index, state, reason, "study.train-00000001", 100.0, "N/A")


def owner(job: str) -> Owner:
    return Owner("t", "w001", "m", "b", "n", "ada", 1, "1", NOW, job)


def failed(cause: str, when: float = NOW - 100) -> RunFiles:
    return RunFiles(Status.failed, {"cause": cause, "message": "why", "step": 3, "time": when}, None, 0)


def state(files: RunFiles, sent: list[JobArray], queue: Queue | None) -> RunState:
    return run_state.states({RUN: files}, sent, queue)[RUN]


@pytest.mark.parametrize(
    ("slurm_state", "status", "note"),
    [
        ("PENDING", Status.queued, "Priority"),
        ("CONFIGURING", Status.queued, "configuring"),
        ("SUSPENDED", Status.queued, "suspended"),
        ("REQUEUE_HOLD", Status.queued, "requeue_hold"),
        ("SPECIAL_EXIT", Status.queued, "special_exit"),
        ("RUNNING", Status.queued, "starting"),
        ("COMPLETING", Status.queued, "starting"),
        ("A_STATE_OF_A_LATER_SLURM", Status.queued, "a_state_of_a_later_slurm"),
    ],
)
def test_a_job_in_the_queue_lives_whatever_its_state(slurm_state: str, status: Status, note: str) -> None:
    result = state(NEW, [array()], Queue([entry(slurm_state, "Priority")]))
    assert (result.status, result.note, result.in_queue) == (status, note, True)
    assert run_state.runs_to_submit([result], user_requested=True, retry=True) == []


def test_at_work_is_who_has_claimed_the_run_for_this_job() -> None:
    queue = Queue([entry("RUNNING")])
    files = RunFiles(Status.running, None, owner("7_0"), 3)
    assert state(files, [array()], queue).status is Status.running
    before = replace(files, owner=owner("6_0"))  # a lease that an earlier job left
    assert state(before, [array()], queue).status is Status.queued
    assert state(files, [array()], Queue([entry("SUSPENDED")])).status is Status.running


@pytest.mark.parametrize(
    ("slurm_state", "cause"),
    [
        ("TIMEOUT", "time limit"),
        ("PREEMPTED", "preempted"),
        ("NODE_FAIL", "node"),
        ("OUT_OF_MEMORY", "host memory"),
        ("CANCELLED", "cancelled"),
        ("FAILED", "lost"),
        ("COMPLETED", "lost"),
    ],
)
def test_a_job_that_ended_without_a_word_is_lost_to_what_slurm_says(slurm_state: str, cause: str) -> None:
    """A fresh lease of its process does not hold it: the queue knows better."""
    claimed = RunFiles(Status.running, None, owner("7_0"), 3)
    result = state(claimed, [array(attempts=(attempt(),))], Queue([entry(slurm_state)]))
    assert (result.status, result.cause, result.in_queue) == (Status.lost, cause, False)
    forgotten = array(attempts=(attempt(),), accounting={0: AccountingRecord(slurm_state, 9.0)})
    assert state(claimed, [forgotten], Queue([])).cause == cause
    assert run_state.runs_to_submit([result], user_requested=True) == [result]
    assert bool(run_state.runs_to_submit([result], user_requested=False)) is CAUSES[cause].auto_retry


@pytest.mark.parametrize("slurm_state", ["TIMEOUT", "PREEMPTED", "NODE_FAIL", "CANCELLED", "FAILED", None])
def test_a_process_that_was_killed_is_lost_only_as_long_as_slurm_gives_no_reason(
    slurm_state: str | None,
) -> None:
    """Slurm kills a job's processes one after another: the task may see the first one go, and write that down."""
    ended = attempt(ended=NOW, code=-9, cause="lost", note="the process was killed (SIGKILL)")
    accounting = {0: AccountingRecord(slurm_state, 9.0)} if slurm_state else {}
    result = state(NEW, [array(attempts=(ended,), accounting=accounting)], Queue([]))
    by_slurm = BY_STATE.get(slurm_state or "")
    assert result.cause == (by_slurm or "lost")
    assert result.note == ("" if by_slurm else ended.note)


def test_a_cause_that_the_task_knows_outranks_slurms_state() -> None:
    ended = attempt(ended=NOW, code=-9, cause="host memory", note="it held 60 GB")
    result = state(
        NEW, [array(attempts=(ended,), accounting={0: AccountingRecord("TIMEOUT", 9.0)})], Queue([])
    )
    assert (result.cause, result.note) == ("host memory", "it held 60 GB")


def test_a_task_that_left_the_queue_before_it_started_waits_for_a_person() -> None:
    """Slurm keeps no record of an array's element that was cancelled before it became a job."""
    result = state(NEW, [array()], Queue([]))
    assert (result.status, result.cause, result.in_queue) == (
        Status.lost,
        "cancelled",
        False,
    )
    assert run_state.runs_to_submit([result], user_requested=False) == []
    assert run_state.runs_to_submit([result], user_requested=True) == [result]


def test_the_files_outrank_the_queue() -> None:
    done = RunFiles(Status.done, None, None, 0)
    for slurm_state in ("RUNNING", "FAILED", "NODE_FAIL"):
        assert state(done, [array()], Queue([entry(slurm_state)])).status is Status.done
    assert state(done, [], None).status is Status.done


def test_a_failed_lane_is_not_sent_while_its_pack_is_at_work() -> None:
    result = state(failed("nan"), [array()], Queue([entry("RUNNING")]))
    assert (result.status, result.cause, result.in_queue) == (Status.failed, "nan", True)
    assert run_state.runs_to_submit([result], user_requested=True, retry=True) == []


def test_a_lane_alone_that_does_not_fit_waits_for_a_person() -> None:
    alone = state(failed("gpu memory"), [array()], Queue([]))
    pair = state(failed("gpu memory"), [array(tasks=((RUN, "korea-ldm-s0-00000000"),))], Queue([]))
    assert [bool(run_state.runs_to_submit([one], user_requested=False)) for one in (alone, pair)] == [
        False,
        True,
    ]
    assert run_state.runs_to_submit([alone], user_requested=True, retry=True) == [alone]


@pytest.mark.parametrize("cause", CAUSES)
def test_what_failed_waits_for_a_person_unless_its_cause_can_pass(cause: str) -> None:
    result = state(failed(cause), [array(tasks=((RUN, "korea-ldm-s0-00000000"),))], Queue([]))
    assert result.status is Status.failed and result.cause == cause
    assert run_state.runs_to_submit([result], user_requested=False, retry=True) == [result]
    assert bool(run_state.runs_to_submit([result], user_requested=True)) is CAUSES[cause].auto_retry
    tried = replace(result, tries=CAUSES[cause].tries)
    assert run_state.runs_to_submit([tried], user_requested=True) == []


def test_an_old_failure_does_not_outlive_a_new_sending() -> None:
    old = failed("nan", when=NOW - 1000)
    assert state(old, [array()], Queue([entry("PENDING")])).status is Status.queued


def test_where_slurm_does_not_answer_nothing_is_sent_twice() -> None:
    for sent in ([array()], [array(job=None)], [array(attempts=(attempt(),))]):
        result = state(NEW, sent, None)
        assert result.status is Status.queued and result.in_queue
    at_work = RunFiles(Status.running, None, owner("7_0"), 3)
    assert state(at_work, [array(attempts=(attempt(),))], None).status is Status.running
    assert state(failed("nan"), [array()], None).status is Status.failed


def test_a_batch_that_may_be_on_its_way_counts_as_sent_and_a_closed_one_does_not() -> None:
    assert state(NEW, [array(job=None)], Queue([])).in_queue
    closed = state(NEW, [array(job=0)], Queue([]))
    assert closed.status is Status.planned and closed.place is None
    earlier = array(attempts=(attempt(),))
    assert state(NEW, [earlier, array(job=0)], Queue([entry("TIMEOUT")])).cause == "time limit"


def test_a_run_that_somebody_runs_by_hand_is_left_to_them() -> None:
    user_requested = RunFiles(Status.running, None, owner(""), 3)
    for sent in ([], [array()]):
        result = state(user_requested, sent, Queue([entry("TIMEOUT")]))
        assert result.status is Status.running and result.in_queue and "ada@w001" in result.note


def test_the_last_word_of_the_job_itself_outranks_slurms() -> None:
    """Interrupted, saved, and refused to be queued again: Slurm only knows an exit code."""
    ended = attempt(ended=NOW - 300, code=75, cause="time limit")
    assert state(NEW, [array(attempts=(ended,))], Queue([entry("FAILED")])).cause == "time limit"


def test_another_persons_job_is_not_given_up_because_we_cannot_see_it() -> None:
    now = time.time()  # by which its last sign of life is old or not
    theirs = array(user="somebody-else", attempts=(attempt(last_heartbeat=now),))
    assert state(NEW, [theirs], Queue([])).in_queue
    silent = array(user="somebody-else", attempts=(attempt(last_heartbeat=now - 5000),))
    assert not state(NEW, [silent], Queue([])).in_queue
    assert not state(NEW, [array(attempts=(attempt(last_heartbeat=now),))], Queue([])).in_queue


def test_attempts_without_progress_are_counted_since_a_person_asked() -> None:
    def tries(progress: int, *arrays: JobArray) -> int:
        files: Mapping[str, RunFiles] = {RUN: replace(NEW, progress=progress)}
        return run_state.attempts_without_progress(files, arrays).get(RUN, 0)

    three = tuple(attempt(n) for n in range(3))
    assert tries(0, array(attempts=three)) == 3
    assert tries(5, array(attempts=three)) == 0  # something was saved since
    saved = (attempt(0), attempt(1, progress={RUN: 5}), attempt(2, progress={RUN: 5}))
    assert tries(5, array(attempts=saved)) == 2
    automatic = array(user_requested=False, created=NOW - 100, attempts=(attempt(9),))
    assert tries(0, array(attempts=three), automatic) == 4
    assert tries(0, array(attempts=three), replace(automatic, user_requested=True)) == 1


def test_never_sent_runs_are_sent_by_persons_only() -> None:
    result = state(NEW, [], None)
    assert result.status is Status.planned
    assert run_state.runs_to_submit([result], user_requested=True) == [result]
    assert run_state.runs_to_submit([result], user_requested=False) == []
