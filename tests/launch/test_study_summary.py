"""A study in Slurm as a whole: its jobs, its price and its end, from batches and queue alone."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from scoft_hpc.launch.tracking.study_state import StudyState, read
from scoft_hpc.launch.views import study_summary
from scoft_hpc.launch.views.run_progress import ProgressReader, RunProgress
from scoft_hpc.study.job_array import PREPARE
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import read as plan_of
from slurm_records import Slurm, attempt, ids, line, send
from studies import finish, plan_study, run_of

NOON = datetime.datetime(2026, 5, 4, 12, 0).timestamp()


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyDir:
    return plan_study(tmp_path, ["china", "korea"])


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Slurm:
    return Slurm(monkeypatch)


def read_state(study: StudyDir) -> tuple[StudyState, list[RunProgress]]:
    runs = plan_of(study).runs
    seen = read(study, [run.run_id for run in runs])
    return seen, ProgressReader(study, runs).read_with_queue(seen)


def test_what_is_sent_again_was_estimated_once(study: StudyDir, queue: Slurm) -> None:
    send(study, 6, ids(study, "china-ldm"), stage=PREPARE, hours=0.5)
    send(study, 7, ids(study, "china"), ids(study, "korea"), hours=2)
    send(study, 8, ids(study, "korea-m"), hours=1)
    assert read_state(study)[0].cost.estimated_su == 2 * (0.5 + 2 + 2)


def test_jobs_are_counted_with_the_reasons_of_those_that_wait(study: StudyDir, queue: Slurm) -> None:
    send(study, 7, ids(study, "china"), ids(study, "korea-m"), ids(study, "korea-l"), ids(study, "korea-b"))
    queue.holds(
        line("7_0", "RUNNING"),
        line("7_1", "PENDING", "Priority", start="2026-05-04T14:20:00"),
        line("7_2", "PENDING", "Priority", start="2026-05-04T14:30:00"),
        line("7_3", "PENDING", "Resources"),
        line("99_0", "RUNNING"),
    )
    seen, _ = read_state(study)
    expected = "1 job running, 3 waiting (Priority, Resources; expected to start 14:20)"
    assert study_summary.jobs(seen, NOON) == expected
    queue.holds(line("7_0", "COMPLETED"), line("7_1", "PENDING", "None"))
    assert study_summary.jobs(read_state(study)[0], NOON) == "1 waiting"
    queue.is_silent()
    assert study_summary.jobs(read_state(study)[0], NOON) == ""


def test_the_end_is_that_of_the_last_job_and_uncertain_while_a_start_is(
    study: StudyDir, queue: Slurm
) -> None:
    sent = send(study, 7, ids(study, "china"), ids(study, "korea"), hours=2)
    attempt(study, sent, 0)
    queue.holds(line("7_0", "RUNNING"), line("7_1", "PENDING", "Priority"))
    remaining = study_summary.time_remaining(*read_state(study), NOON)
    assert remaining == study_summary.TimeRemaining(1.5 * 3600, more=True)
    queue.holds(line("7_0", "RUNNING"), line("7_1", "PENDING", start="2026-05-04T12:10:00"))
    assert study_summary.time_remaining(*read_state(study), NOON) == study_summary.TimeRemaining(
        600 + 2 * 3600, more=False
    )


def test_nothing_is_left_of_a_study_in_which_nothing_moves(study: StudyDir, queue: Slurm) -> None:
    assert study_summary.time_remaining(*read_state(study), NOON) is None
    send(study, 7, ids(study, "china-base"))
    finish(run_of(study, "china-base"))
    queue.holds(line("7_0", "COMPLETING"))
    assert study_summary.time_remaining(*read_state(study), NOON) is None


def test_another_days_time_has_its_date() -> None:
    assert study_summary.clock(NOON + 60, NOON) == "12:01"
    assert study_summary.clock(NOON + 86400, NOON) == "05 May 12:00"
