"""`scoft-hpc logs`: the right log of a run, and following it through waits and new jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from invoke import invoke
from scoft_hpc import logs
from scoft_hpc.launch.slurm.sbatch import log_of
from scoft_hpc.launch.views import run_log
from scoft_hpc.study.paths import StudyDir
from slurm_records import Slurm, ids, line, send
from studies import finish, hold, plan_study, run_of

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def study(tmp_path: Path) -> StudyDir:
    return plan_study(tmp_path, ["korea"])


@pytest.fixture
def call(study: StudyDir, capsys: pytest.CaptureFixture[str]) -> Call:
    return lambda *arguments: invoke(logs.main, capsys, f"output={study.path.parent}", *arguments)


def write(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.writelines(f"{text}\n" for text in lines)
    return path


def test_on_this_machine_the_newest_log_that_names_the_run(study: StudyDir, call: Call) -> None:
    mpc, ldm = ids(study, "korea-mpc", "korea-ldm")[::-1]
    write(study.logs / "pack-001.log", f"CPU: {mpc} {ldm}", "old")
    newest = write(study.logs / "pack-002.log", f"CPU: {mpc} {ldm}", "one", "two", "three")
    code, text, errors = call("korea-mpc", "-n", "2")
    assert (code, text) == (0, "two\nthree\n")
    assert str(newest) in errors and f"{mpc} shares it with {ldm}" in errors
    assert call("korea-mpc")[1].splitlines()[1:] == ["one", "two", "three"]


def test_slurms_log_of_the_last_job(study: StudyDir, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    Slurm(monkeypatch).holds(line("7_0", "COMPLETED"), line("8_0", "RUNNING"))
    pack = ids(study, "korea-m")
    send(study, 7, pack)
    write(log_of(study, 7, 0), "before")
    assert call("korea-mpc")[1] == "before\n"
    send(study, 8, ids(study, "korea-mpc"))
    write(log_of(study, 8, 0), "now")
    code, text, errors = call("korea-mpc")
    assert (code, text) == (0, "now\n") and "shares" not in errors
    assert call("korea-mp-")[1] == "before\n"


def test_a_run_without_a_log_says_what_it_waits_for(
    study: StudyDir, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "has printed nothing yet: it was not submitted yet" in call("korea-mpc")[2]
    send(study, 7, ids(study, "korea-mpc"))
    Slurm(monkeypatch).holds(line("7_0", "PENDING", "Priority"))
    code, text, errors = call("korea-mpc")
    assert (code, text) == (0, "") and "waits in the queue: Priority (others are before it)" in errors


def test_without_one_run_the_choices_are_listed(study: StudyDir, call: Call) -> None:
    code, _, errors = call("culture=korea")
    assert code == 3 and "5 runs of a-study fit" in errors
    assert all(name in errors for name in ids(study, "korea"))


def meanwhile(patch: pytest.MonkeyPatch, *steps: Callable[[], object]) -> None:
    """One step happens whenever the command sleeps; after the last one it must not sleep again."""
    remaining = iter(steps)
    patch.setattr(run_log, "time", Clock(remaining))


class Clock:
    def __init__(self, steps: Iterator[Callable[[], object]]) -> None:
        self._steps, self._now = steps, 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += run_log.QUEUE_SECONDS
        next(self._steps)()


def test_following_goes_through_the_wait_and_a_new_job_to_the_end(
    study: StudyDir, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue, run = Slurm(monkeypatch), run_of(study, "korea-mpc")
    send(study, 7, (run.run_id,))
    queue.holds(line("7_0", "PENDING", "Resources"))

    def sent_again() -> None:
        write(log_of(study, 7, 0), "two")
        send(study, 8, (run.run_id,))
        queue.holds(line("7_0", "TIMEOUT"), line("8_0", "RUNNING"))
        write(log_of(study, 8, 0), "three")

    meanwhile(
        monkeypatch,
        lambda: queue.holds(line("7_0", "RUNNING")),
        lambda: write(log_of(study, 7, 0), "one"),
        sent_again,
        lambda: write(log_of(study, 8, 0), "four"),
        lambda: finish(run),
    )
    code, text, errors = call("korea-mpc", "-f")
    assert (code, text) == (0, "one\ntwo\nthree\nfour\n")
    about = errors.splitlines()
    assert "waits in the queue: Resources" in about[0] and "waits in the queue: starting" in about[1]
    assert about[2:] == [str(log_of(study, 7, 0)), str(log_of(study, 8, 0)), f"{run.run_id}: done."]


def test_following_a_run_of_this_machine_ends_with_its_launcher(
    study: StudyDir, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(study, "korea-mpc")
    held = hold(run)
    log = write(study.logs / "pack-001.log", f"CPU: {run.run_id}", "one")
    meanwhile(monkeypatch, lambda: write(log, "two"), held.release)
    code, text, errors = call(run.run_id, "--follow", "-n", "1")
    assert (code, text) == (0, "one\ntwo\n") and errors.endswith(
        "was not submitted yet; `scoft-hpc sweep` does that.\n"
    )


def test_ctrl_c_ends_it_without_a_word(study: StudyDir, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    write(study.logs / "pack-001.log", f"CPU: {run_of(study, 'korea-mpc').run_id}")
    held = hold(run_of(study, "korea-mpc"))

    def interrupt() -> None:
        raise KeyboardInterrupt

    meanwhile(monkeypatch, interrupt)
    code, _, errors = call("korea-mpc", "-f")
    assert code == 130 and "Traceback" not in errors
    held.release()
