"""Whatever dies or is silent while a study is sent: each run has one job, and the same command goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from scoft_hpc.launch.slurm import launcher
from scoft_hpc.launch.slurm import sbatch as submit
from scoft_hpc.study import job_array, lease
from scoft_hpc.study.lease import Owner
from scoft_hpc.study.plan_file import launch_lease
from slurm.machine import Machine
from slurm.studies_on_slurm import SlurmStudy, paced

RUNS = 4
DIE_AFTER = """#!/bin/sh
{sbatch} "$@" > {folder}/answer; code=$?
kill -KILL $PPID
exit $code
"""
"""An sbatch whose caller dies before it hears the answer."""


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for tens of seconds waits for one or two."""
    monkeypatch.setattr(submit, "PAUSES", (0.0, 1.0))
    monkeypatch.setattr(launcher, "SETTLE_SECONDS", 3.0)


@pytest.fixture
def study(cluster: Machine, tmp_path: Path) -> Iterator[SlurmStudy]:
    """Four runs, each a task of its own."""
    yield paced(cluster, tmp_path, "cluster.lanes=1", "cluster.jobs=4", runs=RUNS, pace=0.02)


def assert_each_run_once(study: SlurmStudy) -> None:
    """Every run is done, was started once, and nothing else was ever started."""
    study.wait_done()
    study.wait_idle()
    assert study.starts() == dict.fromkeys(study.ids, 1)
    assert len(study.ids) == len(study.lines("published.txt")) == RUNS


def test_a_controller_that_is_down_is_told_with_nothing_sent_and_then_the_same_command_sends_each_run_once(
    study: SlurmStudy,
) -> None:
    study.cluster.kill("slurmctld")
    code, text = study.sweep()
    assert code == 3
    assert "Slurm does not answer" in text and "tried 2 times" in text and "the same command goes on" in text
    assert "Traceback" not in text
    study.cluster.start("slurmctld")
    assert not study.living()
    assert study.sweep().code == 0
    assert_each_run_once(study)


def test_a_controller_that_comes_back_meanwhile_is_all_that_a_sweep_waits_for(
    study: SlurmStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submit, "PAUSES", (0.0, 1.0, 2.0, 4.0, 8.0))
    study.cluster.kill("slurmctld")
    sleep = time.sleep

    def meanwhile(
        seconds: float,
    ) -> None:  # whoever else sleeps, as one who waits for a child, comes here too
        if seconds == submit.PAUSES[1]:
            study.cluster.start("slurmctld")
        sleep(seconds)

    monkeypatch.setattr(submit.time, "sleep", meanwhile)
    assert study.sweep().code == 0
    monkeypatch.undo()
    assert_each_run_once(study)


def test_accepted_but_the_client_died_before_it_heard(
    study: SlurmStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing in the study knows the job's number: it is found by its name, or recorded by its first task."""
    sbatch = subprocess.run(["which", "sbatch"], capture_output=True, text=True, check=True).stdout.strip()
    wrapper = tmp_path / "bin" / "sbatch"
    wrapper.parent.mkdir()
    wrapper.write_text(DIE_AFTER.format(sbatch=sbatch, folder=tmp_path))
    wrapper.chmod(0o755)
    environment = {**os.environ, "PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    process = study.start(env=environment)
    output = process.communicate()[0]
    assert process.returncode == -signal.SIGKILL, output
    assert (tmp_path / "answer").read_text().startswith("Submitted batch job")
    assert study.sweep().code == 0
    assert len(study.batches()) == 1
    assert_each_run_once(study)


@pytest.mark.strace
@pytest.mark.parametrize(
    ("call", "nth", "file"),
    [
        ("rename", 2, "plan.json"),
        ("rename", 3, "array.json"),
        ("vfork", 1, ""),  # of sbatch
        ("rename", 4, "_submission.sh"),  # when sbatch has answered
        ("link", 2, "job.json"),
    ],
)
def test_killed_at_any_point_of_the_sending_the_same_command_sends_the_rest(
    study: SlurmStudy, tmp_path: Path, call: str, nth: int, file: str
) -> None:
    """By strace, at the writing of the plan, the batch, its script and its number, and at the start of sbatch."""
    assert study.sweep("plan=only").code == 0  # the toy's pictures are files too
    calls, trace = tmp_path / "calls", f"inject={call}:signal=KILL:when={nth}"
    process = study.start(before=["strace", "-f", "-o", str(calls), "-e", f"trace={call}", "-e", trace])
    output = process.communicate()[0]
    assert process.returncode == -signal.SIGKILL, output
    assert file in [line for line in calls.read_text().splitlines() if f"{call}(" in line][-1]
    code, text = study.sweep()
    assert code == 0, text
    assert_each_run_once(study)
    assert study.sweep().code == 0 and study.starts() == dict.fromkeys(study.ids, 1)


def test_the_same_command_rebuilds_all_from_disk_and_runs_no_finished_work_again(
    study: SlurmStudy, cluster: Machine
) -> None:
    """The login node is gone, half of the study is done, the rest was lost with its nodes."""
    study.order(hold=[0], of=[f"korea-base-s{seed}-" for seed in range(RUNS // 2, RUNS)])
    assert study.sweep().code == 0
    study.wait(lambda: all(run.checkpoints.is_dir() for run in study.runs), "saves of all runs")
    study.wait(lambda: len(study.living()) == RUNS // 2, "half of them to be done")
    for entry in study.living():
        cluster.run("scancel", "--signal=KILL", "--full", f"{entry.job}_{entry.index}")
    study.wait_idle()
    study.order(hold=[])  # not before they are dead
    done = {run.run_id: run.result.stat().st_mtime_ns for run in study.runs if run.result.exists()}
    assert len(done) == RUNS // 2
    process = study.start()
    output = process.communicate()[0]
    assert process.returncode == 0, output
    study.wait_done()
    study.wait_idle()
    assert {name: study.study.run(name).result.stat().st_mtime_ns for name in done} == done
    assert all(study.starts()[name] == 1 for name in done)
    assert len(study.lines("published.txt")) == RUNS


def test_of_two_who_send_at_once_one_sends_and_the_other_is_told(study: SlurmStudy) -> None:
    study.order(hold=[0])  # the slower one finds them all at work at least
    both = [study.start(), study.start()]
    output = [process.communicate()[0] for process in both]
    codes = [process.returncode for process in both]
    assert sum("sent: 4 train tasks" in text for text in output) == 1, output
    (other,) = [index for index, text in enumerate(output) if "sent: 4 train tasks" not in text]
    if codes[other]:  # they met; else the other came later and found all sent
        assert codes[other] == 4 and f"is being worked on by {lease.user()}@" in output[other]
    else:
        assert "nothing to send: 4 runs still in the queue or at work" in output[other]
    study.order(hold=[])
    assert_each_run_once(study)


def test_who_sends_is_told_to_the_other_by_name(study: SlurmStudy) -> None:
    study.study.path.mkdir()
    hold = lease.Lease.acquire(launch_lease(study.study))
    process = study.start()
    output = process.communicate()[0]
    hold.release()
    assert process.returncode == 4
    assert f"{hold.owner}" in output and "Wait for it" in output
    assert not study.study.jobs.exists()


@pytest.mark.parametrize(("age", "code"), [(lease.LEASE_SECONDS * 2, 0), (lease.LEASE_SECONDS / 2, 4)])
def test_a_stale_lease_of_another_login_node_expires(study: SlurmStudy, age: float, code: int) -> None:
    path = launch_lease(study.study)
    path.parent.mkdir()
    other = replace(Owner.me(), host="login2", machine="another", user="grace")
    path.write_text(json.dumps(asdict(other)))
    os.utime(path, (time.time() - age,) * 2)
    output = study.sweep()
    assert output.code == code
    if code:
        assert "grace@login2" in output.text and not study.study.jobs.exists()
    else:
        assert_each_run_once(study)


def test_two_arrays_of_one_batch_do_its_work_once(study: SlurmStudy) -> None:
    """The worst of it: Slurm accepted twice. The first to be recorded stands, the tasks of the other leave at once."""
    study.order(hold=[0])
    assert study.sweep().code == 0
    (sent,) = study.batches()
    script = next(study.study.logs.glob("slurm/*.sh"))
    twin = study.cluster.run("sbatch", "--parsable", str(script))
    study.wait(
        lambda: f"this array ({twin}) is not the one on record ({sent.job})" in study.logs(), "the twin"
    )
    study.order(hold=[])
    assert job_array.read(job_array.folder_of(study.study, sent.name)).job == sent.job
    assert_each_run_once(study)
