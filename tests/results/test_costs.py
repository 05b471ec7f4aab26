"""What a study cost: every attempt counts, every estimate once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from results.html_page import Page
from results.job_arrays import HOUR, attempt, send
from results.study_maker import Maker
from scoft_hpc.config.schema import WandbMode
from scoft_hpc.results import study, terminal
from scoft_hpc.results.findings import findings
from scoft_hpc.results.gather import gather as gather_study
from scoft_hpc.results.report import page as report
from scoft_hpc.study import atomic, costs, job_array
from scoft_hpc.study.costs import Cost
from scoft_hpc.study.job_array import AccountingRecord

TRAINING, PREPARING = "training, drawing and scoring", "preparing the cultures"


def read(maker: Maker) -> dict[str, Cost]:
    return costs.by_stage(job_array.read_all(maker.folder))


def test_a_study_that_slurm_never_had_has_no_cost(finished: Maker) -> None:
    assert study.read(finished.folder).costs == {}
    assert "What it cost" not in report.render(findings(study.read(finished.folder)))


def test_stages_by_hand(make: Callable[..., Maker]) -> None:
    maker = make()
    train = send(maker, "train-a", [["a", "b"], ["c"]], [2.0, 1.0], su_per_hour=2.0)
    prepare = send(maker, "prepare-b", [["a"]], [0.5], "prepare", su_per_hour=2.0)
    attempt(train, 0, 0, 1.5)
    attempt(train, 1, 0, 0.25)
    attempt(prepare, 0, 0, 0.75)
    stages = read(maker)
    assert list(stages) == [PREPARING, TRAINING]
    assert stages[PREPARING] == Cost(0.75, 1.5, 0.5, 1.0, tasks=1, attempts=1)
    assert stages[TRAINING] == Cost(1.75, 3.5, 3.0, 6.0, tasks=2, attempts=2)
    assert costs.total(stages) == Cost(2.5, 5.0, 3.5, 7.0, tasks=3, attempts=3)


def test_requeued_lost_and_living_attempts_are_spent(make: Callable[..., Maker]) -> None:
    maker = make()
    folder = send(maker, "train-a", [["a"], ["b"]], [1.0, 1.0])
    attempt(folder, 0, 0, 0.5, ended=False)  # killed unheard: as long as it gave signs of life
    attempt(folder, 0, 2, 0.25)  # the start between them died before it could write
    attempt(folder, 1, 0, 0.25, ended=False)
    (cost,) = read(maker).values()
    assert cost == Cost(1.0, 1.0, 2.0, 2.0, tasks=2, attempts=3, requeues=2)


def test_slurms_own_count_stands_where_it_is_longer(make: Callable[..., Maker]) -> None:
    maker = make()
    folder = send(maker, "train-a", [["a"], ["b"], ["c"]], [1.0, 1.0, 1.0])
    attempt(folder, 0, 0, 1.0)
    attempt(folder, 1, 0, 1.0)
    accounting = {"0": 1.5, "1": 0.5, "2": 0.25}
    atomic.write_json(
        folder / "accounting.json",
        {task: {"state": "X", "seconds": h * HOUR} for task, h in accounting.items()},
    )
    assert costs.total(read(maker)).gpu_hours == pytest.approx(1.5 + 1.0 + 0.25)


def test_a_run_is_estimated_once_however_often_it_is_sent(make: Callable[..., Maker]) -> None:
    maker = make()
    first = send(maker, "train-f", [["a", "b"]], [2.0])
    again = send(maker, "train-a", [["a", "d"]], [3.0])  # by its name it would come first
    attempt(first, 0, 0, 1.0)
    attempt(again, 0, 0, 1.0)
    cost = costs.total(read(maker))
    assert cost.estimated_gpu_hours == pytest.approx(2.0 + 3.0 / 2)
    assert (cost.gpu_hours, cost.tasks) == (pytest.approx(2.0), 2)


def test_what_slurm_never_got_was_neither_sent_nor_estimated(make: Callable[..., Maker]) -> None:
    maker = make()
    send(maker, "train-a", [["a"]], [2.0], job=0)
    send(maker, "train-b", [["a"]], [3.0])
    send(maker, "train-c", [["b"]], [1.0], job=None)  # it may still start
    cost = costs.total(read(maker))
    assert (cost.estimated_gpu_hours, cost.tasks) == (pytest.approx(4.0), 2)


def test_a_broken_batch_becomes_a_note(make: Callable[..., Maker]) -> None:
    maker = make()
    send(maker, "train-a", [["a"]], [2.0])
    broken = send(maker, "train-b", [["b"]], [1.0])
    (broken / "array.json").write_text('{"version": 1, "sta')
    loaded = study.read(maker.folder)
    (note,) = loaded.notes
    assert str(broken) in note
    assert costs.total(loaded.costs).estimated_gpu_hours == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.0"), (0.00417, "0.0042"), (0.25, "0.25"), (0.97, "1.0"), (3.17, "3.2"), (1234.5, "1,234.5")],
)
def test_amounts_say_something_however_small(value: float, text: str) -> None:
    assert costs.amount(value) == text


def test_the_report_and_gather_show_it(copied: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    train = send(copied, "train-a", [["a"], ["b"]], [2.0, 1.0], su_per_hour=2.0)
    prepare = send(copied, "prepare-b", [["a"]], [0.25], "prepare", su_per_hour=2.0)
    attempt(prepare, 0, 0, 0.5)
    attempt(train, 0, 0, 1.75)
    attempt(train, 0, 1, 0.5)
    gathered = gather_study(copied.folder, WandbMode.disabled)
    page = Page(gathered.study.folder.report.read_text())
    for text in (
        "What it cost",
        PREPARING,
        TRAINING,
        "in all",
        "1 requeued",
        "3.2 estimated",
        "6.5 estimated",
    ):
        assert text in page.text
    terminal.show(gathered)
    assert "cost     2.8 GPU-hours, 5.5 SU (estimated 6.5)" in capsys.readouterr().out


def test_what_slurm_said_of_a_task_is_kept_and_counted(make: Callable[..., Maker]) -> None:
    maker = make()
    folder = send(maker, "train-a", [["a", "b"]], [1.0], su_per_hour=2.0)
    attempt(folder, 0, 0, 0.5, ended=False)
    (array,) = job_array.read_all(maker.folder)
    assert costs.total(read(maker)) == Cost(0.5, 1.0, 1.0, 2.0, tasks=1, attempts=1)
    job_array.save_accounting(maker.folder, array, {0: AccountingRecord("TIMEOUT", HOUR)})
    assert costs.total(read(maker)).su == 2.0
