"""The metric table: its rows against the files and the docs, and a metric that a test adds to it."""

from __future__ import annotations

import csv
import inspect
import io
import json
import pkgutil
import re
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest
from pyarrow import parquet
from rich.console import Console

from scoft_hpc.config import compose, identity, validation
from scoft_hpc.config.metrics import METRICS, MetricSpec
from scoft_hpc.config.schema import RunConfig, Variant, WandbMode
from scoft_hpc.evaluation import metrics
from scoft_hpc.evaluation.scores import compute_function
from scoft_hpc.execute import execute
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.planning.plan import Plan, Run
from scoft_hpc.results import tensorboard
from scoft_hpc.results.findings import findings
from scoft_hpc.results.gather import gather
from scoft_hpc.results.table import run_table, summary_tables
from scoft_hpc.study.paths import StudyDir

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
HELPERS = {"metric_value", "mmd"}
"""The modules in evaluation/metrics that compute no metric of their own."""


def test_every_row_has_its_file_and_every_file_its_rows() -> None:
    computed = {
        (module.name, name.removeprefix("compute_"))
        for module in pkgutil.iter_modules(metrics.__path__)
        if module.name not in HELPERS
        for name, _ in inspect.getmembers(
            import_module(f"{metrics.__name__}.{module.name}"), inspect.isfunction
        )
        if name.startswith("compute_")
    }
    assert computed == {(spec.module, spec.name) for spec in METRICS.values()}
    modules = {module.name for module in pkgutil.iter_modules(metrics.__path__)}
    assert modules == {spec.module for spec in METRICS.values()} | HELPERS
    for spec in METRICS.values():
        assert compute_function(spec).__name__ == f"compute_{spec.name}"


def test_the_docs_list_exactly_the_rows() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| (?:`(\w+)`)? ?\| [^|]+ \| `(\w+)\.py` \|$", DOCS.read_text(), flags=re.MULTILINE
    )
    assert rows == [(spec.name, spec.embedder or "", spec.module) for spec in METRICS.values()]


BRIGHTNESS = MetricSpec(
    name="brightness",
    title="Mean brightness",
    short="bright",
    group="brightness",
    module="added_by_a_test",
    embedder=None,
    unit="sample",
    direction="higher",
    bounds=(0.0, 1.0),
    min_effect=0.1,
    headline=0,
    meaning="How light a sample is, from 0 (black) to 1 (white).",
)
MODULE = """
    from scoft_hpc.evaluation.scoring_inputs import ScoringInputs
    from scoft_hpc.evaluation.metrics.metric_value import MetricValue, mean_of


    def compute_brightness(inputs: ScoringInputs) -> MetricValue:
        each = (inputs.culture_samples.images.double().mean((1, 2, 3)) + 1) / 2
        return mean_of(each, n=len(each))
"""
SETTINGS = (
    *("culture=korea", "train.steps=2", "data.pairs=4", "data.negatives.steps=1", "threads=1"),
    *("evaluation.steps=2", "evaluation.samples=2", "evaluation.prompts=2", "evaluation.neutral=1"),
    *("scoring.metrics=[kid,brightness]", "tensorboard=true"),
)


@pytest.mark.slow
def test_a_metric_is_a_row_and_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config: RunConfig = compose.compose("train", [*SETTINGS, f"output={tmp_path / 'outputs'}"])
    (fault,) = validation.validate(config)
    assert "scoring.metrics" in fault and "brightness" in fault

    (tmp_path / "added_by_a_test.py").write_text(dedent(MODULE))
    monkeypatch.setattr(metrics, "__path__", [*metrics.__path__, str(tmp_path)])
    monkeypatch.setitem(METRICS, BRIGHTNESS.name, BRIGHTNESS)
    assert validation.validate(config) == []

    study = StudyDir(tmp_path / "outputs" / "brightness-study")
    configs = [
        compose.compose("train", [*SETTINGS, f"output={tmp_path / 'outputs'}", f"variant={v}", f"seed={s}"])
        for v in (Variant.base.name, Variant.ldm.name)
        for s in (0, 1)
    ]
    runs = tuple(Run(identity.run_id(c), c, 0 if c.variant is Variant.base else 2) for c in configs)
    plan_store.write(study, Plan(study.name, "loss_terms", tmp_path / "outputs", (), runs))
    folders = [study.run(run.run_id) for run in runs]
    for folder, run in zip(folders, runs, strict=True):
        folder.path.mkdir(parents=True)
        folder.config.write_text(compose.dump(run.config))
    assert execute([folder.path for folder in folders]) == 0

    values = []
    for folder in folders:
        scores = json.loads(folder.scores.read_text())
        assert list(scores["metrics"]) == ["kid", "brightness"]
        samples = [row["brightness"] for row in scores["samples"]]
        assert scores["metrics"]["brightness"] == {"value": pytest.approx(sum(samples) / 4), "n": 4}
        assert 0 < min(samples) < max(samples) < 1
        values.append(scores["metrics"]["brightness"]["value"])

    gathered = gather(study, WandbMode.disabled, events=True)
    with study.results.open(newline="") as file:
        assert [float(row["brightness"]) for row in csv.DictReader(file)] == values
    assert parquet.read_table(study.parquet)["brightness"].to_pylist() == values
    assert "Mean brightness $\\uparrow$ &" in study.latex.read_text()
    report = study.markdown.read_text()
    assert "| Mean brightness ↑ | **" in report and "| Mean brightness ↑ | ldm |" in report
    assert f"- **Mean brightness ↑**: {BRIGHTNESS.meaning}" in report
    page = study.report.read_text()
    assert "Mean brightness" in page and BRIGHTNESS.meaning in page and '<th scope="col">bright</th>' in page
    terminal = Console(width=80, file=io.StringIO(), record=True)
    for table in (run_table(gathered.rows), *summary_tables(findings(gathered.study))):
        terminal.print(table)
    text = terminal.export_text()
    assert re.search(r"sec +bright", text) and "bright ↑" in text
    tag = f"{tensorboard.MEASURED}brightness".encode()
    events = (path for path in study.path.rglob("events.out.tfevents.*") if tag in path.read_bytes())
    assert {path.parent.name for path in events} == {run.run_id for run in runs}
