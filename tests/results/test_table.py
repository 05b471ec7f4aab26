"""results.csv and the tables for the terminal."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pyarrow import parquet
from rich.console import Console

from results.study_maker import Maker
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.results import formats, study, table
from scoft_hpc.results.findings import findings


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
    loaded = study.read(copied.folder)
    table.write_csv(tmp_path / "results.csv", table.rows(loaded))
    with (tmp_path / "results.csv").open(newline="") as file:
        rows = {row["run_id"]: row for row in csv.DictReader(file)}
    assert list(rows) == [run.run_id for run in loaded.runs]
    assert list(next(iter(rows.values()))) == [
        *("study", "culture", "variant", "seed", "run_id", "status", "seconds"),
        *METRICS,
    ]
    unfinished = rows[copied.run(planned).run_id]
    assert (unfinished["status"], unfinished["in_style"], unfinished["seconds"]) == ("planned", "", "")
    assert rows[copied.run(failed).run_id]["status"] == "failed"
    done = next(run for run in loaded.runs if run.status.value == "done")
    assert float(rows[done.run_id]["default_style"]) == done.metric("default_style")


def test_hostile_names_stay_one_field(make: Callable[..., Maker], tmp_path: Path) -> None:
    loaded = study.read(make(cultures=('a,"b\n[red]',)).folder)
    table.write_csv(tmp_path / "results.csv", table.rows(loaded))
    with (tmp_path / "results.csv").open(newline="") as file:
        assert {row["culture"] for row in csv.DictReader(file)} == {'a,"b\n[red]'}
    assert "[red]" in "\n".join(printed(table.run_table(table.rows(loaded))))


def test_parquet_has_the_same_rows_with_their_types(copied: Maker, tmp_path: Path) -> None:
    unfinished = copied.run(copied.find("korea", "ldm", 1))
    for path in (unfinished.result, unfinished.scores):
        path.unlink()
    rows = table.rows(study.read(copied.folder))
    table.write_parquet(tmp_path / "results.parquet", rows)
    content = parquet.read_table(tmp_path / "results.parquet")
    assert content.to_pylist() == [row.cells() for row in rows]
    types = {name: str(content.schema.field(name).type) for name in content.column_names}
    assert types == {
        **dict.fromkeys(("study", "culture", "variant", "run_id", "status"), "string"),
        "seed": "int64",
        **dict.fromkeys(("seconds", *METRICS), "double"),
    }
    assert content["kid"].null_count == 1


def test_terminal_tables_fit_80_columns_and_show_every_run(finished: Maker) -> None:
    loaded = study.read(finished.folder)
    lines = printed(table.run_table(table.rows(loaded)))
    assert sum(" done " in line for line in lines) == 20
    assert "default" in lines[1] and "KID" in lines[1] and "Vendi" not in lines[1]
    for each in (*table.bias_tables(loaded), *table.summary_tables(findings(loaded))):
        lines += printed(each)
    for line in lines:
        assert len(line) <= 80
        assert "…" not in line


def test_summary_has_a_line_a_measure_with_its_marks(finished: Maker) -> None:
    read = study.read(finished.folder)
    runs = (replace(run, culture=f"{run.culture} {run.seed}", seed=0) for run in read.runs)
    study_findings = findings(replace(read, runs=tuple(runs)))  # four cultures, of which something can hold
    (summary,) = table.summary_tables(study_findings)
    lines = printed(summary)
    assert lines[0].startswith("Means")
    assert lines[1].split() == study_findings.variants
    assert lines[3].split() == ["runs", "done", *["4/4"] * 5]
    stars = daggers = 0
    for measure in study_findings.measures:
        (line,) = (
            line for line in lines if line.startswith(f"{measure.short} {measure.arrow}".rstrip() + " ")
        )
        assert line.count("*") == sum(
            study_findings.of(v, measure.name).best for v in study_findings.variants
        )
        against = [study_findings.of(v, measure.name).against for v in study_findings.variants]
        assert line.count("†") == sum(a["base"].holds for a in against if "base" in a)
        stars, daggers = stars + line.count("*"), daggers + line.count("†")
    assert stars >= 8
    assert daggers > 0


def test_many_variants_go_below_each_other(finished: Maker) -> None:
    loaded = study.read(finished.folder)
    long = {run.variant: f"{run.variant} objective.distance=dino" for run in loaded.runs}
    wide = replace(loaded, runs=tuple(replace(run, variant=long[run.variant]) for run in loaded.runs))
    tables = [*table.summary_tables(findings(wide)), *table.bias_tables(wide)]
    assert len(tables) == 3 + 3
    lines = [line for each in tables for line in printed(each)]
    heads = " ".join(line for line in lines if "dino" in line and "differs from" not in line)
    assert sorted(re.findall(r"\w+ objective.distance=dino", heads)) == sorted(2 * list(long.values()))
    for line in lines + printed(table.run_table(table.rows(wide))):
        assert len(line) <= 80
        assert "…" not in line


def test_a_study_without_scores_has_no_summary(make: Callable[..., Maker]) -> None:
    loaded = study.read(make().folder)
    assert table.summary_tables(findings(loaded)) == []
    assert table.bias_tables(loaded) == []
    assert [str(column.header) for column in table.run_table(table.rows(loaded)).columns] == [
        *("culture", "variant", "seed", "status", "sec"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0.62, ".62"), (1.0, "1.00"), (-0.074, "−.07"), (-0.001, ".00"), (0.999, "1.00")],
)
def test_number(value: float | None, text: str) -> None:
    assert formats.number(value) == text


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(0.6249, 3, ".625"), (85.4, 0, "85"), (-0.0004, 3, ".000"), (0.2, 0, "0")]
)
def test_number_of_digits(value: float, digits: int, text: str) -> None:
    assert formats.number(value, digits) == text
