"""A study is read from disk as far as it got."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from results.study_maker import Maker
from scoft_hpc.config import compose
from scoft_hpc.config.identity import run_id
from scoft_hpc.config.schema import ContrastiveForm, RunConfig, Variant
from scoft_hpc.errors import LaunchError
from scoft_hpc.results import study
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.run_status import Status
from settings_changes import changed


def test_planned_runs_are_read_before_anything_ran(make: Callable[..., Maker]) -> None:
    loaded = study.read(make().folder)
    assert len(loaded.runs) == 20
    assert {run.status for run in loaded.runs} == {Status.planned}
    assert loaded.cultures == ["korea", "mexico"]
    assert loaded.variants == ["base", "ldm", "m", "mp", "mpc"]
    assert loaded.seeds == [0, 1]
    assert all(run.seconds is None and run.samples == [] and run.curves == {} for run in loaded.runs)


def test_finished_run_tells_all(finished: Maker) -> None:
    run = next(study.read(finished.folder).of(culture="korea", variant="mpc"))
    assert run.status is Status.done
    assert run.seconds == pytest.approx(6.5 + 1.5 + 0.25)
    assert [row["trainer/step"] for row in run.history()] == list(range(1, 21))
    assert [sample["file"] for sample in run.samples][:2] == ["samples/p00-s00.png", "samples/p00-s01.png"]
    assert run.metric("in_style") == sum(sample["in_style"] for sample in run.samples) / len(run.samples)


def test_broken_file_becomes_a_note(copied: Maker) -> None:
    run = copied.run(copied.find("korea", "mpc", 0))
    run.scores.write_text('{"metrics": {"in_st')
    loaded = study.read(copied.folder)
    (note,) = loaded.notes
    assert str(run.scores) in note
    (read,) = (r for r in loaded.runs if r.run_id == run.run_id)
    assert read.metric("in_style") is None


def test_torn_journal_is_read_up_to_the_tear(copied: Maker) -> None:
    run = copied.run(copied.find("korea", "ldm", 0))
    run.metrics.write_text(run.metrics.read_text()[:-30])
    read = next(r for r in study.read(copied.folder).runs if r.run_id == run.run_id)
    assert [row["trainer/step"] for row in read.history()] == list(range(1, 20))


def test_baselines_have_rows_of_their_own(make: Callable[..., Maker]) -> None:
    """The base as it is keeps its name, which all others are compared with."""
    folder = make(variants=("base", "ldm"), seeds=(0,)).folder
    plan = json.loads(folder.plan.read_text())
    changes = [
        {"prompting": "named", "digest": "1"},
        {"prompting": "rewritten", "digest": "2", "rewrites": "/a/gpt.jsonl"},
        {"images": "/somewhere/sdxl", "digest": "3"},
    ]
    for entry in [one for one in plan["runs"] if one["variant"] == "base"]:
        for number, change in enumerate(changes):
            other = json.loads(json.dumps(entry))
            other["run_id"] = f"{entry['run_id'][:-1]}{number}"
            other["config"]["evaluation"] |= change
            plan["runs"].append(other)
    folder.plan.write_text(json.dumps(plan))
    rows = ["base", "ldm", "base named", "base rewritten", "images of sdxl"]
    assert study.read(folder).variants == rows
    for entry in list(plan["runs"]):
        if entry["config"]["evaluation"].get("rewrites"):
            other = json.loads(json.dumps(entry))
            other["run_id"] = f"{entry['run_id'][:-1]}x"
            other["config"]["evaluation"] |= {"rewrites": "/a/llama.jsonl", "digest": "4"}
            plan["runs"].append(other)
    folder.plan.write_text(json.dumps(plan))
    names = ["base rewritten rewrites=/a/gpt.jsonl", "base rewritten rewrites=/a/llama.jsonl"]
    assert [row for row in study.read(folder).variants if "rewritten" in row] == names


def test_runs_of_one_variant_are_told_apart_by_their_settings(make: Callable[..., Maker]) -> None:
    folder = make(variants=("mpc",), seeds=(0,)).folder
    plan = json.loads(folder.plan.read_text())
    for entry in list(plan["runs"]):
        other = json.loads(json.dumps(entry))
        other["run_id"] = entry["run_id"][:-1] + "x"
        other["config"]["objective"]["gradient"] = "last"
        plan["runs"].append(other)
    folder.plan.write_text(json.dumps(plan))
    assert study.read(folder).variants == ["mpc gradient=first", "mpc gradient=last"]


def planned(make: Callable[..., Maker], *configs: RunConfig) -> list[str]:
    """The variants of a study of these runs."""
    maker = make(variants=("base",), seeds=(0,))
    plan = json.loads(maker.folder.plan.read_text())
    plan["runs"] = [
        {
            "run_id": run_id(config),
            "culture": config.culture,
            "variant": config.variant.name,
            "seed": config.seed,
            "steps": 20,
            "config": compose.to_mapping(config),
        }
        for config in configs
    ]
    maker.folder.plan.write_text(json.dumps(plan))
    return study.read(maker.folder).variants


def test_a_row_is_named_by_as_few_settings_as_tell_it_apart_and_by_none_that_it_does_not_use(
    make: Callable[..., Maker],
) -> None:
    mpc, mp = RunConfig(), RunConfig(variant=Variant.mp)
    triplet = [
        {"objective.form": ContrastiveForm.triplet, "objective.triplet_margin": margin}
        for margin in (0.2, 0.5)
    ]
    sizes = [{"data.pairs": 4, "data.digest": "a"}, {"data.pairs": None, "data.digest": "b"}]
    assert planned(make, *(changed(mpc, size) for size in sizes)) == ["mpc pairs=4", "mpc pairs=null"]
    assert planned(make, mp, mpc, *(changed(mpc, form) for form in triplet)) == [
        "mp",
        "mpc form=official",
        "mpc form=triplet triplet_margin=0.2",
        "mpc form=triplet triplet_margin=0.5",
    ]
    shares = [{"objective.w_ldm": w, "objective.w_m": 1 - w} for w in (0.75, 0.5)]
    assert planned(make, *(changed(mpc, share) for share in shares)) == ["mpc w_ldm=0.75", "mpc w_ldm=0.5"]


def test_settings_of_one_last_name_are_told_in_full(make: Callable[..., Maker]) -> None:
    configs = [
        changed(RunConfig(), {"train.steps": a, "evaluation.steps": b}) for a in (1, 2) for b in (1, 2)
    ]
    assert planned(make, *configs)[0] == "mpc train.steps=1 evaluation.steps=1"


def test_weights_in_two_folders_are_told_apart_by_the_folder(make: Callable[..., Maker]) -> None:
    configs = [
        changed(RunConfig(), {"objective.digest": d, "objective.distance_path": f"/{d}"}) for d in "ab"
    ]
    assert planned(make, *configs) == ["mpc distance_path=/a", "mpc distance_path=/b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a study"),
        ("{", "cannot be read"),
        ('{"version": 1}', "cannot be read"),
        ('{"version": 2, "runs": []}', "version 2"),
        ('{"version": 1, "runs": [{"run_id": "../x"}]}', "cannot be read"),
    ],
)
def test_no_readable_plan_is_said(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "plan.json").write_text(content)
    with pytest.raises(LaunchError, match=message):
        study.read(StudyDir(tmp_path))
