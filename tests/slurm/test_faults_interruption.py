"""Jobs that are interrupted: preempted, out of time, on a node that fails. They continue, and are counted once."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoft_hpc.study import metrics_log, run_status
from scoft_hpc.study.run_status import Status
from slurm.machine import Machine
from slurm.studies_on_slurm import SlurmStudy, on, paced, take_node


def test_preempted_with_requeue_it_resumes_from_the_last_save_and_is_done_once(
    cluster: Machine, tmp_path: Path
) -> None:
    study = paced(cluster, tmp_path, *on("preempt"), hold=[0])
    assert study.sweep().code == 0
    study.wait_saved(3)
    urgent = take_node(cluster)
    study.wait(lambda: study.state().status is Status.queued, "being queued again")
    assert study.sweep().text.count("nothing to send: 1 run still in the queue") == 1
    cluster.run("scancel", urgent)
    study.wait_done()
    study.wait_idle()
    first, second = study.attempts()
    assert (first.restart, second.restart) == (0, 1)
    assert first.job == second.job
    assert next(iter(second.progress.values())) >= 3
    assert len(study.lines("published.txt")) == 1
    assert [row[metrics_log.STEP] for row in metrics_log.read(study.runs[0].metrics)] == list(range(1, 21))
    assert not study.runs[0].failure.exists() and not list(study.runs[0].path.glob("failure-*"))


def test_preempted_and_killed_unheard_it_resumes_from_the_last_periodic_save(
    cluster: Machine, tmp_path: Path
) -> None:
    study = paced(cluster, tmp_path, *on("preempt"), hold=[0], deaf=True)
    assert study.sweep().code == 0
    study.wait_saved(3)
    urgent = take_node(cluster)
    study.wait(lambda: study.state().status is Status.queued, "being queued again")
    cluster.run("scancel", urgent)
    study.wait_done()
    study.wait_idle()
    first, second = study.attempts()
    assert first.ended is None and first.cause is None
    assert next(iter(second.progress.values())) >= 3
    assert len(study.lines("published.txt")) == 1


def test_sigterm_alone_leads_to_a_save(cluster: Machine, tmp_path: Path) -> None:
    study = paced(cluster, tmp_path, *on("preempt"), hold=[0], saves=0)
    cluster.run("scontrol", "update", "partition=preempt", "GraceTime=120")
    try:
        assert study.sweep().code == 0
        study.wait_step(3)
        assert run_status.progress(study.runs[0]) == 0
        urgent = take_node(cluster)
        study.wait(lambda: run_status.progress(study.runs[0]) >= 3, "a save")
    finally:
        cluster.run("scontrol", "update", "partition=preempt", "GraceTime=0")
    cluster.run("scancel", urgent)
    study.wait_done()
    study.wait_idle()
    assert [attempt.code for attempt in study.attempts()] == [75, 0]


@pytest.mark.parametrize("deaf", [True, False])
def test_preempted_with_cancel_it_ends_as_preempted_and_is_sent_again_once(
    cluster: Machine, tmp_path: Path, deaf: bool
) -> None:
    study = paced(cluster, tmp_path, *on("preempt-cancel"), hold=[0], deaf=deaf)
    assert study.sweep().code == 0
    study.wait_saved(3)
    urgent = take_node(cluster)
    study.wait_idle()
    state = study.state()
    assert (state.status, state.cause) == (Status.lost, "preempted")
    cluster.run("scancel", urgent)
    study.order(hold=[], deaf=False)
    assert "sent: 1 train" in study.sweep().text
    assert "nothing to send" in study.sweep().text or study.runs[0].result.exists()
    study.wait_done()
    study.wait_idle()
    first, second = study.attempts()
    assert first.job != second.job and second.restart == 0
    assert next(iter(second.progress.values())) >= 3
    assert len(study.lines("published.txt")) == 1


def test_out_of_time_and_killed_unheard_it_ends_as_that_and_is_sent_again_once(
    cluster: Machine, tmp_path: Path
) -> None:
    study = paced(cluster, tmp_path, hold=[0], deaf=True)
    assert study.sweep().code == 0
    study.wait_saved(3)
    cluster.expire(study.attempts()[0].job)
    study.wait_idle()
    state = study.state()
    assert (state.status, state.cause) == (Status.lost, "time limit")
    study.order(hold=[], deaf=False)
    assert "sent: 1 train" in study.sweep().text
    study.wait_done()
    study.wait_idle()
    first, second = study.attempts()
    assert first.ended is None and next(iter(second.progress.values())) >= 3
    assert len(study.lines("published.txt")) == 1


def warn(study: SlurmStudy, restart: int) -> None:
    """Send this start of the only task the warning before its time limit; Slurm itself may be faster, even now."""

    def begun() -> bool:
        return any(line.endswith(f" {restart}") for line in study.lines("started.txt"))

    def ended() -> bool:
        return any(one.restart == restart and one.ended for one in study.attempts())

    study.wait(lambda: begun() or ended(), f"start {restart + 1}")
    if not ended():
        study.cluster.run("scancel", "--signal=USR2", study.attempts()[0].job, check=False)
    study.wait(ended, f"the end of start {restart + 1}")


def test_time_limits_before_which_nothing_can_be_saved_come_to_an_end(
    cluster: Machine, tmp_path: Path
) -> None:
    """The warning comes early, as Slurm's may; the job never gets far enough to have something to save.

    Slurm's own, of which Slurm thinks in half minutes, is late: it would end a task that cannot hear it yet.
    """
    arguments = ("cluster.minutes=1", "cluster.min_minutes=1", "cluster.warn_seconds=1")
    study = paced(cluster, tmp_path, *arguments, pace=3600.0, saves=0)
    assert study.sweep().code == 0
    for restart in range(3):
        warn(study, restart)
    study.wait_idle()
    state = study.state()
    assert (state.status, state.cause) == (Status.failed, "no progress")
    assert "3 attempts in a row saved nothing new; the last one ended on: time limit" in state.note
    assert len(study.attempts()) == 3
    assert "1 run failed (1 no progress)" in study.sweep().text


def test_a_failed_node_gives_its_job_to_another_and_the_restart_is_recorded(
    cluster: Machine, tmp_path: Path
) -> None:
    study = paced(cluster, tmp_path, hold=[0])
    assert study.sweep().code == 0
    study.wait_saved(3)
    node = study.attempts()[0].host
    cluster.node_fail(node)
    study.wait_done()
    study.wait_idle()
    first, second = study.attempts()
    assert (first.restart, second.restart, first.ended) == (0, 1, None)
    assert second.host != node
    assert next(iter(second.progress.values())) >= 3
    assert len(study.lines("published.txt")) == 1


def test_a_zombie_whose_node_was_given_up_cannot_publish(cluster: Machine, tmp_path: Path) -> None:
    """slurmd is dead, the process lives: it comes to its end while the attempt after it is at work."""
    study = paced(cluster, tmp_path, pace=0.02, hold=[0, 1])
    assert study.sweep().code == 0
    study.wait_step(19)
    cluster.node_fail(study.attempts()[0].host, zombies=True)
    study.wait(lambda: len(study.lines("started.txt")) == 2, "the second attempt")
    study.order(hold=[1])
    study.wait(lambda: len(study.lines("refused.txt")) == 1, "the zombie's end")
    assert study.lines("refused.txt")[0].endswith(" 0")
    assert not study.runs[0].result.exists() and not study.runs[0].failure.exists()
    study.order(hold=[])
    study.wait_done()
    study.wait_idle()
    (published,) = study.lines("published.txt")
    assert published.endswith(" 1")
    assert run_status.result(study.runs[0])["attempt"] == 2
    zombie, heir = study.attempts()
    assert (zombie.restart, heir.restart, heir.code) == (0, 1, 0)
