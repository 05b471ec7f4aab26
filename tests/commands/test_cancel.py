"""`scoft-hpc cancel`: which jobs it ends, what it asks, and whom it leaves alone."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from invoke import invoke
from scoft_hpc import cancel
from scoft_hpc.study import job_array, run_status
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.study.job_array import PREPARE, AccountingRecord
from scoft_hpc.study.lease import Lease
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import launch_lease
from slurm_records import Slurm, ids, line, send
from studies import finish, hold, plan_study, run_of

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return plan_study(tmp_path, ["china", "korea"])


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch, study: StudyDir) -> Slurm:
    """Two cultures being prepared, a pack of each waiting, and korea's base in a job of its own."""
    send(study, 6, ids(study, "china-ldm"), ids(study, "korea-ldm"), stage=PREPARE)
    packs = [
        tuple(name for name in ids(study, culture) if "base" not in name) for culture in ("china", "korea")
    ]
    send(study, 7, *packs, ids(study, "korea-base"))
    slurm = Slurm(monkeypatch)
    slurm.holds(
        line("6_0", "RUNNING"), line("6_1", "RUNNING"),
        line("7_0", "PENDING"), line("7_1", "PENDING"), line("7_2", "PENDING"),
    )  # fmt: skip
    return slurm


@pytest.fixture
def call(study: StudyDir, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    return lambda *arguments: invoke(cancel.main, capsys, f"output={study.path.parent}", *arguments)


def test_everything_goes_with_what_only_it_needs(queue: Slurm, call: Call) -> None:
    code, text, _ = call("--yes")
    assert code == 0 and "cancelled 9 runs in 3 jobs" in text
    assert sorted(queue.cancelled) == ["6_0", "6_1", "7_0", "7_1", "7_2"]


def test_what_never_started_is_known_as_cancelled_though_slurm_forgets_it(
    queue: Slurm, call: Call, study: StudyDir
) -> None:
    call("culture=china", "--yes")
    queue.holds(line("6_1", "RUNNING"), line("7_1", "PENDING"), line("7_2", "PENDING"))
    assert "nothing to cancel" in call("culture=china", "--yes")[1]
    prepare, train = sorted(job_array.read_all(study), key=lambda sent: sent.name)
    assert train.accounting == {0: AccountingRecord("CANCELLED", 0.0)} and prepare.accounting == {}


def test_a_culture_that_others_still_need_is_prepared_on(queue: Slurm, call: Call) -> None:
    assert call("culture=china", "--yes")[0] == 0
    assert sorted(queue.cancelled) == ["6_0", "7_0"]


def test_the_other_runs_of_a_pack_are_named_and_stop_too(queue: Slurm, call: Call, study: StudyDir) -> None:
    code, _, errors = call("korea-mpc")
    assert code == 2 and not queue.cancelled
    assert "cancel 1 run in 1 job? The packs' other runs stop too: " in errors and "--yes" in errors
    assert all(name in errors for name in ids(study, "korea-ldm", "korea-m-", "korea-mp-"))
    assert call("korea-mpc", "--yes")[0] == 0
    assert queue.cancelled == ["7_1"]


def test_a_person_is_asked(queue: Slurm, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    for answer, cancelled in (("n", []), ("", []), ("y", ["7_2"])):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        code, text, _ = call("korea-base")
        assert code == 0 and queue.cancelled == cancelled
        assert ("nothing was cancelled" in text) is (not cancelled)


def test_what_has_ended_is_left_alone(queue: Slurm, call: Call, study: StudyDir) -> None:
    finish(run_of(study, "korea-base"))
    run_status.write_failure(run_of(study, "china-mpc"), "nan", "not finite", 3)
    code, text, _ = call("korea-base", "china-mpc", "--yes")
    assert code == 0 and "nothing to cancel" in text and not queue.cancelled
    assert "cancelled 3 runs in 1 job" in call("culture=china", "--yes")[1]


def test_a_batch_on_its_way_and_a_silent_slurm_are_told(queue: Slurm, call: Call, study: StudyDir) -> None:
    send(study, None, ids(study, "china-base"))
    code, text, _ = call("china-base", "--yes")
    assert code == 0 and "just being sent" in text and not queue.cancelled
    queue.is_silent()
    code, _, errors = call("--yes")
    assert code == 3 and "Slurm does not answer" in errors and "Nothing was cancelled" in errors


def test_on_this_machine_the_launcher_is_told_to_stop(call: Call, study: StudyDir) -> None:
    assert "nobody runs a-study" in call("--yes")[1]
    held = hold(run_of(study, "korea-base"))
    lease, stop = Lease.acquire(launch_lease(study)), StopFlag()
    with stop.capture_signals():
        code, _, errors = call("korea-base", "--yes")
        assert code == 2 and "stops as a whole" in errors and not stop.requested
        code, text, _ = call("--yes")
        assert code == 0 and "its jobs save" in text and stop.requested
    held.release()
    lease.release()


def test_another_machines_launcher_is_named(call: Call, study: StudyDir) -> None:
    lease = Lease.acquire(launch_lease(study))
    elsewhere = {**json.loads(lease.path.read_text()), "host": "login7", "machine": "another"}
    lease.path.write_text(json.dumps(elsewhere))
    with StopFlag().capture_signals():
        code, _, errors = call("--yes")
    assert code == 3 and f"`kill {lease.owner.pid}` on login7" in errors
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
