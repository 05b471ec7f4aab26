"""`scoft-hpc why`: what a run's files, its batches and the queue say, in words."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from invoke import invoke
from scoft_hpc import why
from scoft_hpc.launch.slurm.sbatch import log_of
from scoft_hpc.launch.tracking import slurm_reasons
from scoft_hpc.study import job_array, lease, run_status
from scoft_hpc.study.job_array import AccountingRecord
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.paths import RunDir, StudyDir
from slurm_records import Slurm, attempt, ids, line, send
from studies import finish, lose, plan_study, run_of, train

TRACE = """\
2026-11-22 19:58:43,167 {run} failed
Traceback (most recent call last):
  File "loop.py", line 107, in _advance
FloatingPointError: the gradient is not finite in update 2
2026-11-22 19:58:43,298 another failed
Traceback (most recent call last):
KeyError: 'another'
"""


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return plan_study(tmp_path, ["korea"])


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    return Slurm(monkeypatch)


class WhyCommand:
    def __init__(self, study: StudyDir, capture: pytest.CaptureFixture[str]) -> None:
        self._study, self._capture = study, capture

    def __call__(self, *arguments: str) -> str:
        output = f"output={self._study.path.parent}"
        code, text, errors = invoke(why.main, self._capture, output, *arguments)
        assert (code, errors) == (0, "")
        return text


@pytest.fixture
def ask(study: StudyDir, capsys: pytest.CaptureFixture[str]) -> WhyCommand:
    return WhyCommand(study, capsys)


def test_a_failed_run_has_its_cause_attempts_and_trace(
    study: StudyDir, queue: Slurm, ask: WhyCommand
) -> None:
    nan = ids(study, "korea-mpc")
    sent = send(study, 7, nan)
    attempt(study, sent, 0, ended=time.time() - 1000, code=75, cause="time limit")
    attempt(study, sent, 0, 1, started=time.time() - 900, progress={nan[0]: 12}, ended=time.time(), code=4)
    train(study.run(nan[0]), 33)
    run_status.write_failure(study.run(nan[0]), "nan", "the gradient is not finite", 33)
    log = log_of(study, 7, 0)
    log.parent.mkdir(parents=True)
    log.write_text(TRACE.format(run=nan[0]))
    queue.holds(line("7_0", "FAILED"))
    text = ask()
    assert f"{nan[0]}: failed, nan" in text
    assert "the gradient is not finite" in text and "at step 33 of 40" in text
    first, second = (part for part in text.splitlines() if " on w001, job 7_0" in part)
    assert "1. " in first and first.endswith("13:20: time limit")
    assert "2. " in second and second.endswith(
        "15:00, from what was saved (12): came to its end, but runs failed"
    )
    assert "manual action required: The loss or a gradient is not finite" in text
    assert f"log       {log}" in text
    assert "| FloatingPointError" in text and "KeyError" not in text


def publish(run: RunDir, job: str, restart: int, patch: pytest.MonkeyPatch) -> None:
    """As a process of this start of the job does."""
    patch.setenv(lease.JOB, job)
    patch.setenv(lease.RESTART, str(restart))
    held = Lease.acquire(run.lease)
    run_status.write_result(run, held, restart + 1, {"train": 1.0})
    held.release()


@pytest.mark.parametrize("state", ["RUNNING", "FAILED"])
def test_a_run_came_to_its_end_when_it_published_whatever_its_job_does_then(
    study: StudyDir, queue: Slurm, ask: WhyCommand, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """The job ends later than its runs: it may still work on others, or die with no word on its own end."""
    mpc, ldm = ids(study, "korea-mpc", "korea-ldm")[::-1]
    sent = send(study, 7, (mpc, ldm))
    attempt(study, sent, 0, ended=time.time() - 1000, code=75, cause="time limit")
    attempt(study, sent, 0, 1, started=time.time() - 900, progress={mpc: 35, ldm: 35})
    publish(study.run(mpc), "7_0", 1, monkeypatch)
    queue.holds(line("7_0", state))
    first, second = (part for part in ask(mpc).splitlines() if " on w001, job 7_0" in part)
    assert first.endswith(": time limit")
    assert second.endswith(", from what was saved (35): came to its end")
    told_of_the_other = ask(ldm)
    assert "came to its end" not in told_of_the_other
    assert (
        "(35): at work" if state == "RUNNING" else "killed before it could write why"
    ) in told_of_the_other


def test_starts_of_a_job_after_the_runs_own_end_are_its_packs_alone(
    study: StudyDir, queue: Slurm, ask: WhyCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    mpc, ldm = ids(study, "korea-mpc", "korea-ldm")[::-1]
    sent = send(study, 7, (mpc, ldm))
    attempt(study, sent, 0, ended=time.time() - 1000, code=75, cause="time limit")
    publish(study.run(mpc), "7_0", 0, monkeypatch)
    attempt(study, sent, 0, 1, started=time.time() - 900, progress={mpc: 44, ldm: 35})
    queue.holds(line("7_0", "RUNNING"))
    (only,) = (part for part in ask(mpc).splitlines() if " on w001, job 7_0" in part)
    assert only.endswith(": came to its end")
    assert "2. " in ask(ldm) and "at work" in ask(ldm)


def test_runs_of_a_job_that_ended_alike_are_told_of_once(
    study: StudyDir, queue: Slurm, ask: WhyCommand
) -> None:
    pack = ids(study, "korea-m", "korea-ldm")
    send(study, 7, pack)
    queue.holds(line("7_0", "NODE_FAIL"))
    text = ask()
    assert text.count("lost, node") == 1
    assert all(name in text.split("also")[1].splitlines()[0] for name in pack[1:])
    assert "the study's next job that ends sends it again, or the same sweep command now" in text


def test_what_slurm_has_forgotten_is_told_from_what_was_kept(
    study: StudyDir, queue: Slurm, ask: WhyCommand
) -> None:
    (name,) = ids(study, "korea-mpc")
    sent = send(study, 7, (name,))
    attempt(study, sent, 0)
    job_array.save_accounting(study, sent, {0: AccountingRecord("TIMEOUT", 7200.0)})
    text = ask()
    assert f"{name}: lost, time limit" in text
    assert "killed before it could write why, time limit (TIMEOUT)" in text


def test_attempts_that_save_nothing_come_to_an_end(study: StudyDir, queue: Slurm, ask: WhyCommand) -> None:
    (name,) = ids(study, "korea-mpc")
    send(study, 6, (name,))
    follow_up = send(study, 7, (name,))
    for restart in range(3):
        attempt(study, follow_up, 0, restart, ended=time.time(), code=75, cause="time limit")
    queue.holds(line("7_0", "TIMEOUT"))
    text = ask()
    assert (
        "manual action required (3 of 3 attempts saved nothing new): the same sweep command submits it again"
        in text
    )
    assert "cluster.minutes" in text


@pytest.mark.parametrize(
    ("reason", "meaning"),
    [
        ("Priority", "others are before it"),
        ("ReqNodeNotAvail, UnavailableNodes:w001", "down or reserved"),
        ("QOSMaxJobsPerUserLimit", "as many jobs as the quality of service allows"),
        ("AssocGrpGRESMinutes", "your account has no service units left"),
        ("AssocMaxWallDurationPerJobLimit", "longer than your account allows"),
        ("QOSMaxGRESPerUser", "more than the quality of service allows at once"),
        ("PartitionTimeLimit", "cluster.minutes"),
        ("JobHeldAdmin", "ask them"),
    ],
)
def test_a_wait_is_put_in_plain_words(
    reason: str, meaning: str, study: StudyDir, queue: Slurm, ask: WhyCommand
) -> None:
    send(study, 7, ids(study, "korea-mpc"))
    queue.holds(line("7_0", "PENDING", reason))
    text = ask("korea-mpc")
    assert f"it waits: {reason} (" in text and meaning in text
    assert ask() == "no run of a-study has failed or was lost.\n"


def test_an_unknown_reason_is_given_as_it_is() -> None:
    assert slurm_reasons.explain_wait("SomethingNew") == "SomethingNew"


def test_one_that_needs_nothing_says_so(study: StudyDir, ask: WhyCommand) -> None:
    finish(run_of(study, "korea-base"))
    assert "it is done; its results lie in" in ask("korea-base")
    assert "it was not submitted yet" in ask("korea-mpc")
    assert "no run of a-study matches the selection" in ask("state=lost")


def test_on_this_machine_the_sweep_is_what_tries_again(study: StudyDir, ask: WhyCommand) -> None:
    run_status.write_failure(run_of(study, "korea-mpc"), "disk", "no space left", 3)
    lose(run_of(study, "korea-mp-"))
    text = ask()
    assert "Make room or raise the quota, then the same sweep command tries it again" in text
    assert "the same sweep command continues it" in text and "retry" not in text


def test_a_silent_slurm_is_said_and_the_files_still_tell(
    study: StudyDir, queue: Slurm, ask: WhyCommand
) -> None:
    send(study, 7, ids(study, "korea-mpc"))
    queue.is_silent()
    text = ask("korea-mpc")
    assert "note: Slurm does not answer" in text and "it waits: Slurm does not answer" in text
