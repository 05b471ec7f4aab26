"""Launchers and jobs as real processes: what is killed, stopped or started twice, and what is left on disk then."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from launch.launcher import Launcher, alive
from scoft_hpc.study import lease, run_status
from scoft_hpc.study.plan_file import launch_lease
from scoft_hpc.study.run_status import Status
from waiting import wait_until


@pytest.mark.slow
def test_every_run_is_done_once_and_a_second_launch_sends_nothing(tmp_path: Path) -> None:
    first = Launcher(tmp_path, cultures=("korea", "india"))
    code, output = first.end()
    assert code == 0, output
    assert first.states() == {"done": 8}
    assert set(first.starts().values()) == {1}
    assert "done: " in output and "8 planned" not in output.splitlines()[-1]
    again = Launcher(tmp_path, cultures=("korea", "india"))
    assert again.end()[0] == 0
    assert again.starts() == first.starts()
    assert launch_lease(first.study).exists() is False


@pytest.mark.slow
def test_ctrl_c_lets_the_jobs_save_and_the_same_command_continues(tmp_path: Path) -> None:
    first = Launcher(tmp_path, HOLD="4", SAVE="0.5")
    wait_until(lambda: len(first.workers()) == 2 and first.has_passed(2), "two jobs and step 3")
    workers = first.workers()
    os.killpg(first.process.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    code, output = first.end()
    assert code == 130, output
    assert not any(map(alive, workers))
    assert set(first.states()) == {"planned"}, "a job that was killed would have left its lease: lost"
    again = Launcher(tmp_path)
    assert again.end()[0] == 0
    assert again.states() == {"done": 4}
    assert max(run_status.result(run)["resumed"] for run in again.runs()) > 2


@pytest.mark.slow
def test_a_killed_job_leaves_lost_runs_that_are_started_again(tmp_path: Path) -> None:
    first = Launcher(tmp_path, HOLD="4")
    wait_until(
        lambda: len(first.workers()) == 2 and all(lease.live_owner(run.lease) for run in first.runs()),
        "two jobs with a lease of every run",
    )
    victim = min(first.workers())
    mine = {run.run_id for run in first.runs() if getattr(lease.live_owner(run.lease), "pid", 0) == victim}
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: not alive(victim), "the death of the job")
    first.go()
    _, output = first.end()
    lost = {run.run_id for run in first.runs() if run_status.status(run) is Status.lost}
    assert lost and lost == mine
    assert first.states() == {"done": 4 - len(lost), "lost": len(lost)}
    assert all(f"{name}: its job was killed (SIGKILL)" in output for name in lost)
    again = Launcher(tmp_path)
    assert again.end()[0] == 0
    assert again.states() == {"done": 4}


@pytest.mark.slow
def test_a_failing_run_stops_alone_and_is_tried_again(tmp_path: Path) -> None:
    first = Launcher(tmp_path, jobs=1, FAIL="korea-mp-")
    first.end()
    assert first.states() == {"done": 3, "failed": 1}
    failed = next(run for run in first.runs() if run_status.status(run) is Status.failed)
    failure = run_status.failure(failed)
    assert failure is not None and failure["cause"] == "nan"
    again = Launcher(tmp_path, jobs=1)
    again.end()
    assert again.states() == {"done": 4}
    assert (failed.path / "failure-1.json").exists(), "the first attempt's reason is kept"
    assert {run: n for run, n in again.starts().items() if n > 1} == {failed.run_id: 2}


@pytest.mark.slow
def test_a_job_that_breaks_off_before_its_runs_is_told_with_its_log(tmp_path: Path) -> None:
    first = Launcher(tmp_path, jobs=1, CRASH="korea-mp-")
    first.end()
    assert first.states() == {"failed": 4}
    failure = run_status.failure(first.runs()[0])
    assert failure is not None and "exit code 1" in failure["message"]
    log = Path(failure["message"].partition("log: ")[2].rstrip(")"))
    assert "RuntimeError: the job breaks off" in log.read_text()


@pytest.mark.slow
def test_of_two_launchers_one_sends_and_the_other_follows(tmp_path: Path) -> None:
    both = [Launcher(tmp_path, HOLD="4") for _ in range(2)]
    wait_until(lambda: any("following: " in launcher.printed() for launcher in both), "one to follow")
    both[0].go()
    ends = [launcher.end() for launcher in both]
    assert [code for code, _ in ends] == [0, 0]
    assert sum("following: study is being worked on by" in output for _, output in ends) == 1
    assert both[0].states() == {"done": 4}
    assert set(both[0].starts().values()) == {1}


@pytest.mark.slow
def test_after_a_killed_launcher_the_next_waits_for_its_jobs_and_sends_the_rest(tmp_path: Path) -> None:
    first = Launcher(tmp_path, jobs=1, HOLD="4")
    wait_until(first.workers, "a job")
    first.process.kill()
    assert first.process.wait() == -signal.SIGKILL
    assert first.workers(), "the job goes on without its launcher"
    again = Launcher(tmp_path, jobs=1)
    wait_until(lambda: lease.live_owner(launch_lease(first.study)), "the next launcher to hold the study")
    first.go()
    assert again.end()[0] == 0
    assert again.states() == {"done": 4}
    assert set(again.starts().values()) == {1}, "no run was started by two jobs"


@pytest.mark.slow
@pytest.mark.parametrize("again", [False, True])
def test_sigterm_stops_too_and_a_second_signal_ends_the_jobs_at_once(tmp_path: Path, again: bool) -> None:
    first = Launcher(tmp_path, HOLD="4", SAVE="600" if again else "0.1")
    wait_until(lambda: len(first.workers()) == 2, "two jobs")
    workers = first.workers()
    first.process.send_signal(signal.SIGTERM)
    if again:
        wait_until(lambda: len(first.stops()) == 2, "both jobs to hear the signal")
        first.process.send_signal(signal.SIGTERM)
    assert first.end()[0] == 130
    assert not any(map(alive, workers))
    assert set(first.states()) == ({"lost"} if again else {"planned"})
