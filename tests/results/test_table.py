"""results.csv and the tables for the terminal."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from scoft_hpc.results import study, table
from scoft_hpc.results.measures import MEASURES

from .conftest import Maker


def printed(renderable: object) -> list[str]:
    console = Console(width=80, record=True, quiet=False, file=io.StringIO())
    console.print(renderable)
    console.file.close()
    return console.export_text().splitlines()


def test_csv_has_a_row_for_every_planned_run(copied: Maker, tmp_path: Path) -> None:
    planned, failed = copied.find("korea", "ldm", 1), copied.find("mexico", "mpc", 0)
    for config in (planned, failed):
        for path in (copied.run(config).result, copied.run(config).scores):
            path.unlink()
    copied.fail(failed)
    found = study.read(copied.folder)
    table.write_csv(tmp_path / "results.csv", table.rows(found))
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = {row["run_id"]: row for row in csv.DictReader(file)}
    assert list(rows) == [run.run_id for run in found.runs]
    assert list(next(iter(rows.values()))) == [
        *("study", "culture", "variant", "seed", "run_id", "status", "seconds"),
        *MEASURES,
    ]
    unfinished = rows[copied.run(planned).run_id]
    assert (unfinished["status"], unfinished["in_style"], unfinished["seconds"]) == ("planned", "", "")
    assert rows[copied.run(failed).run_id]["status"] == "failed"
    done = next(run for run in found.runs if run.status.value == "done")
    assert float(rows[done.run_id]["default_style"]) == done.metric("default_style")


def test_hostile_names_stay_one_field(make: Callable[..., Maker], tmp_path: Path) -> None:
    found = study.read(make(cultures=('a,"b\n[red]',)).folder)
    table.write_csv(tmp_path / "results.csv", table.rows(found))
    with (tmp_path / "results.csv").open(newline="") as file:
        assert {row["culture"] for row in csv.DictReader(file)} == {'a,"b\n[red]'}
    assert "[red]" in "\n".join(printed(table.run_table(table.rows(found))))


def test_terminal_tables_fit_80_columns_and_show_every_run(finished: Maker) -> None:
    found = study.read(finished.folder)
    lines = printed(table.run_table(table.rows(found)))
    assert sum(" done " in line for line in lines) == 20
    bias = table.bias_table(found)
    assert bias is not None
    for line in lines + printed(table.summary_table(found)) + printed(bias):
        assert len(line) <= 80
        assert "…" not in line


def test_measures_without_a_value_have_no_column(make: Callable[..., Maker]) -> None:
    found = study.read(make().folder)
    assert [str(column.header) for column in table.summary_table(found).columns] == ["variant", "done"]
    assert table.bias_table(found) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.62, ".62"), (1.0, "1.00"), (-0.074, "−.07"), (-0.001, ".00"), (0.999, "1.00")],
)
def test_number(value: float | None, text: str) -> None:
    assert table.number(value) == text
