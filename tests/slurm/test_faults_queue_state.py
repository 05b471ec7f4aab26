"""What is known of a study while Slurm waits, is half down, or has forgotten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scoft_hpc.launch.slurm import client
from scoft_hpc.launch.tracking import run_state, study_state
from scoft_hpc.launch.tracking.study_state import ACCOUNTING_SECONDS
from scoft_hpc.study.run_status import Status
from slurm.machine import Machine
from slurm.studies_on_slurm import SlurmStudy, on, paced, take_node

WAITING = ("CONFIGURING", "RESV_DEL_HOLD", "REQUEUE_HOLD", "REQUEUED", "REQUEUE_FED", "RESIZING", "SIGNALING",
           "SPECIAL_EXIT", "STAGE_OUT", "STOPPED", "SUSPENDED", "PENDING", "COMPLETING")  # fmt: skip


def killed(study: SlurmStudy) -> None:
    """The job's processes are gone without a word."""
    study.cluster.run("scancel", "--signal=KILL", "--full", study.attempts()[-1].job)
    study.wait_idle()


def assert_sent_again_once(study: SlurmStudy) -> None:
    study.order(pace=0.01, deaf=False, hold=[])
    assert "sent: 1 train" in study.sweep().text
    study.wait_done()
    study.wait_idle()
    assert len(study.attempts()) == 2 and len(study.lines("published.txt")) == 1


def test_suspended_or_held_is_never_done_nor_sent_again(cluster: Machine, tmp_path: Path) -> None:
    study = paced(cluster, tmp_path, hold=[0, 1])
    assert study.sweep().code == 0
    study.wait_step(3)
    job = study.attempts()[0].job
    cluster.run("scontrol", "suspend", job)
    state = study.state()
    assert state.status in (Status.running, Status.queued) and state.in_queue and state.note == "suspended"
    assert "nothing to send: 1 run still in the queue or at work" in study.sweep().text
    cluster.run("scontrol", "resume", job)
    cluster.run("scontrol", "requeuehold", job)
    study.wait(lambda: [entry.state for entry in study.living()] == ["PENDING"], "being held")
    state = study.state()
    assert state.status is Status.queued and state.in_queue and "nothing to send" in study.sweep().text
    cluster.run("scontrol", "release", job)
    study.order(hold=[])
    study.wait_done()
    study.wait_idle()
    assert len(study.lines("published.txt")) == 1


def test_no_state_that_a_job_leaves_again_counts_as_an_end(cluster: Machine, tmp_path: Path) -> None:
    """A job that waits, in all the states that Slurm cannot easily be brought into."""
    study = paced(cluster, tmp_path)
    cluster.run("scontrol", "update", "partition=GPU-shared", "state=down")
    try:
        assert study.sweep().code == 0
        seen = study_state.read(study.study, study.ids)
        (entry,) = study.living()
        for slurm_state in WAITING:
            queue = client.Queue([replace(entry, state=slurm_state)])
            states = run_state.states(seen.files, seen.arrays, queue)
            assert [(state.status, state.in_queue) for state in states.values()] == [(Status.queued, True)], (
                slurm_state
            )
            assert not run_state.runs_to_submit(states.values(), user_requested=True, retry=True)
    finally:
        cluster.run("scontrol", "update", "partition=GPU-shared", "state=up")


def test_without_slurmdbd_the_queue_and_the_files_tell_all(cluster: Machine, tmp_path: Path) -> None:
    cluster.stop("slurmdbd")
    study = paced(cluster, tmp_path, hold=[0])
    assert study.sweep().code == 0
    study.wait_status(Status.running)
    killed(study)
    assert study.state().status is Status.lost
    assert_sent_again_once(study)
    assert study.state().status is Status.done


def test_a_purged_record_is_read_from_accounting_once_a_minute_and_kept(
    cluster: Machine, tmp_path: Path
) -> None:
    study = paced(cluster, tmp_path, *on("preempt-cancel"), hold=[0], deaf=True)
    assert study.sweep().code == 0
    study.wait_step(3)
    urgent = take_node(cluster)
    study.wait_idle()
    cluster.run("scancel", urgent)
    record = ("sacct", "-X", "-n", "-P", "-j", study.attempts()[0].job, "-o", "state")
    study.wait(lambda: cluster.run(*record) == "PREEMPTED", "its record")
    cluster.purge_records()
    assert (study.state().status, study.state().cause) == (Status.lost, "preempted")
    query_mark = study.study.jobs / "accounting.queried"
    first = query_mark.stat().st_mtime_ns
    study.states()
    assert query_mark.stat().st_mtime_ns == first and ACCOUNTING_SECONDS >= 60
    cluster.stop("slurmdbd")
    query_mark.unlink()
    assert (study.state().status, study.state().cause) == (Status.lost, "preempted")
    assert_sent_again_once(study)


def test_with_the_record_purged_and_no_accounting_the_outcome_comes_from_disk(
    cluster: Machine, tmp_path: Path
) -> None:
    arguments = ("cluster.lanes=1", "cluster.jobs=3")
    study = paced(cluster, tmp_path, *arguments, runs=3, hold=[0], of=["korea-base-s2"])
    assert study.sweep().code == 0
    study.wait(lambda: len(study.lines("started.txt")) == 3 and len(study.living()) == 1, "two to be done")
    (lost,) = study.living()
    cluster.run("scancel", "--signal=KILL", "--full", f"{lost.job}_{lost.index}")
    study.wait_idle()
    cluster.purge_records()
    cluster.stop("slurmdbd")
    states = [(state.status, state.in_queue) for state in study.states().values()]
    assert states == [(Status.done, False), (Status.done, False), (Status.lost, False)]
    study.order(hold=[])
    assert "sent: 1 train" in study.sweep().text
    study.wait_done()
    study.wait_idle()
    assert len(study.lines("published.txt")) == 3


def test_a_task_waits_for_files_that_appear_late_on_its_node(cluster: Machine, tmp_path: Path) -> None:
    study = paced(cluster, tmp_path, pace=0.01)
    cluster.run("scontrol", "update", "partition=GPU-shared", "state=down")
    try:
        assert study.sweep().code == 0
        (unseen,) = study.study.jobs.glob("*/array.json")
        (entry,) = study.living()
        elsewhere = unseen.rename(tmp_path / "elsewhere.json")
    finally:
        cluster.run("scontrol", "update", "partition=GPU-shared", "state=up")

    def running() -> bool:
        return client.queue().find(entry.name, entry.job, entry.index).state == "RUNNING"

    study.wait(lambda: len(study.lines("unread.txt")) >= 2, "the task to look twice")
    assert running() and not study.lines("started.txt")
    elsewhere.rename(unseen)
    study.wait_done()
    study.wait_idle()
    assert len(study.attempts()) == 1
