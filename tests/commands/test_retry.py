"""`scoft-hpc retry`: what it takes, what it refuses, and with which settings it sends; the rest is in tests/slurm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from invoke import invoke
from scoft_hpc import retry
from scoft_hpc.launch.planning.plan import Run
from scoft_hpc.launch.slurm import launcher
from scoft_hpc.launch.tracking.submission_plan import SubmissionPlan, SubmissionRequest, plan_submission
from scoft_hpc.study import run_status
from scoft_hpc.study.paths import StudyDir
from slurm_records import Slurm, ids, line, send
from studies import finish, plan_study, run_of

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return plan_study(tmp_path, ["china", "korea"])


@pytest.fixture
def call(study: StudyDir, capsys: pytest.CaptureFixture[str]) -> Call:
    return lambda *arguments: invoke(retry.main, capsys, f"output={study.path.parent}", *arguments)


@pytest.fixture
def broken(study: StudyDir, monkeypatch: pytest.MonkeyPatch) -> StudyDir:
    """Korea's runs have failed, china's were cancelled but for one that is done and one whose pack is at work."""
    sent = [ids(study, "korea"), ids(study, "china-base", "china-ldm"), ids(study, "china-m")]
    send(study, 7, *sent)
    for name in [*sent[0], *ids(study, "china-mpc")]:
        run_status.write_failure(study.run(name), "disk", "no space left", 3)
    finish(run_of(study, "china-base"))
    Slurm(monkeypatch).holds(line("7_0", "FAILED"), line("7_1", "CANCELLED"), line("7_2", "RUNNING"))
    return study


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[SubmissionRequest]:
    """The requests that would be sent: what becomes of one is seen on a real Slurm."""
    recorded: list[SubmissionRequest] = []

    def launch(study: StudyDir, runs: Sequence[Run], request: SubmissionRequest) -> SubmissionPlan:
        recorded.append(request)
        return plan_submission(study, runs, launcher.read_state(study, runs, request), request)

    monkeypatch.setattr(launcher, "submit_missing", launch)
    return recorded


def test_all_that_failed_or_was_lost_and_has_no_job(
    broken: StudyDir, call: Call, requests: list[SubmissionRequest]
) -> None:
    code, text, _ = call()
    assert code == 0 and requests[0].retry and requests[0].user_requested
    assert requests[0].only == frozenset(ids(broken, "korea", "china-ldm"))
    assert f"not yet, since their jobs still work on other runs: {ids(broken, 'china-mpc')[0]}" in text
    assert all(f"{name} (disk)" in text for name in ids(broken, "korea"))
    assert f"{ids(broken, 'china-ldm')[0]} (cancelled)" in text and "sent: " in text and "train tasks" in text


def test_the_selection_and_the_settings_hold(
    broken: StudyDir, call: Call, requests: list[SubmissionRequest]
) -> None:
    assert call("state=disk", "korea-mpc", "cluster.minutes=90", "budget.su=7.5")[0] == 0
    assert requests[0].only == frozenset(ids(broken, "korea-mpc"))
    assert (requests[0].cluster.name, requests[0].cluster.minutes, requests[0].budget_su) == (
        "slurm",
        90,
        7.5,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("argument", "says"),
    [
        ("cluster.minutes=x", "expected a whole number"),
        ("cluster.minutes=9999", "slurm allows 2880"),
        ("cluster.minuts=9", "cluster.minutes"),
        ("train.lr=1", "only `cluster.…=` and `budget.su=` may change"),
    ],
)
def test_settings_that_do_not_fit_are_told(
    argument: str, says: str, broken: StudyDir, call: Call, requests: list[SubmissionRequest]
) -> None:
    code, _, errors = call(argument)
    assert code == 2 and says in errors and not requests


def test_nothing_to_retry(broken: StudyDir, call: Call, requests: list[SubmissionRequest]) -> None:
    code, text, _ = call("china-base")
    assert code == 0 and "nothing to retry" in text and not requests


def test_on_this_machine_the_sweep_does_it(study: StudyDir, call: Call) -> None:
    run_status.write_failure(run_of(study, "korea-mpc"), "disk", "no space left", 3)
    code, _, errors = call()
    assert code == 2 and "the same sweep command tries failed runs again" in errors
