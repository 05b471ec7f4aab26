"""A finished study that was moved and renamed, and whose old output is gone: every command reads it or says why not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from invoke import invoke
from scoft_hpc import cancel, evaluate, gather, logs, mirror, retry, status, survey, why
from scoft_hpc.config import compose
from scoft_hpc.config.schema import RunConfig, Train, Variant
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.planning.plan import Plan, Run
from scoft_hpc.results import study as results
from scoft_hpc.study import plan_file, run_status
from scoft_hpc.study.json_files import read_json
from scoft_hpc.study.paths import RunDir, StudyDir
from scoft_hpc.train import train
from slurm_records import Slurm, ids, send

ARGUMENTS = [
    "culture=korea",
    "variant=mpc",
    "study=s",
    "data.pairs=4",
    "data.negatives.steps=2",
    "train.steps=2",
]
ARGUMENTS += ["evaluation.steps=2", "evaluation.prompts=2", "evaluation.samples=2", "evaluation.neutral=1"]
ARGUMENTS += ["wandb.mode=disabled", "threads=1"]

FOLDERS = "the-old-output"


@dataclass(frozen=True)
class MovedStudy:
    """The study where it lies now, and where its output was."""

    study: StudyDir
    old: Path

    @property
    def run(self) -> RunDir:
        (path,) = self.study.runs.iterdir()
        return RunDir(path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output directory of a study of one run: trained, drawn and scored on the toy world."""
    output = tmp_path_factory.mktemp("trained") / FOLDERS
    arguments = [*ARGUMENTS, f"output={output}"]
    assert train(compose.compose("train", arguments), arguments) == 0
    return output


@pytest.fixture
def moved(finished: Path, tmp_path: Path) -> MovedStudy:
    """The study alone, under another name; caches and data are gone with the old output."""
    old, new = tmp_path / FOLDERS, tmp_path / "elsewhere" / "renamed"
    shutil.copytree(finished, old)
    for path in old.rglob("*"):
        if path.name in ("plan.json", "config.yaml"):  # as if it had been trained in this very place
            path.write_text(path.read_text().replace(str(finished), str(old)))
    new.parent.mkdir()
    (old / "s").rename(new)
    shutil.rmtree(old)
    return MovedStudy(StudyDir(new), old)


Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    """Calls a command: its exit code, and what it printed to either stream."""

    def call_main(main: Callable[[Sequence[str]], int], *arguments: str) -> tuple[int, str]:
        code, out, err = invoke(main, capsys, *arguments)
        return code, out + err

    return call_main


@pytest.mark.slow
def test_no_file_of_a_new_study_names_the_place_of_its_output(moved: MovedStudy, finished: Path) -> None:
    """But for the words of its command, which are kept as they were typed."""
    plan = json.loads(moved.study.plan.read_text())
    texts = [json.dumps(plan["runs"]), moved.run.config.read_text(), moved.run.provenance.read_text()]
    assert not any(FOLDERS in text for text in texts) and str(finished) not in "".join(texts)


def test_the_commands_that_read_read_it(moved: MovedStudy, call: Call) -> None:
    name = str(moved.study.path)
    code, text = call(status.main, name)
    assert code == 0 and "study renamed: 1 runs, 1 done" in text
    code, text = call(why.main, name)
    assert code == 0 and "no run of renamed has failed or was lost" in text
    code, text = call(logs.main, name, moved.run.run_id)
    assert code == 0 and moved.run.run_id in text
    code, text = call(gather.main, name)
    assert code == 0 and "korea" in text and str(moved.study.report) in text
    code, text = call(cancel.main, name)
    assert code == 0 and "nobody runs renamed" in text
    code, text = call(retry.main, name)
    assert code == 2 and f"study=renamed output={moved.study.path.parent}" in text
    assert str(moved.old) not in text, "what to type says where the study lies now"
    code, text = call(mirror.main, name, "--tensorboard", "--once")
    assert code == 0 and str(moved.study.tensorboard) in text
    code, text = call(survey.main, "make", name)
    assert code == 2 and "a page shows two to eight" in text
    assert not moved.old.exists()


@pytest.mark.slow
def test_scores_that_need_what_is_gone_are_kept_and_the_others_can_be_taken_anew(
    moved: MovedStudy, call: Call
) -> None:
    name = str(moved.study.path)
    before = read_json(moved.run.scores)
    assert "base_distance" in before["metrics"]
    code, text = call(evaluate.main, name, "--device", "cpu")
    assert code == 4 and "base_distance" in text and "can no longer be computed" in text
    assert str(moved.study.path.parent / "cache") in text and "Traceback" not in text
    assert read_json(moved.run.scores) == before
    code, text = call(evaluate.main, name, "--device", "cpu", "scoring.metrics=[kid,clip_score]")
    assert code == 0, text
    after = read_json(moved.run.scores)["metrics"]
    assert after == {metric: before["metrics"][metric] for metric in after} and set(after) == {
        "kid",
        "clip_score",
    }
    assert not moved.old.exists()


@pytest.mark.slow
def test_with_its_caches_beside_it_everything_is_scored_again(
    moved: MovedStudy, finished: Path, call: Call
) -> None:
    shutil.copytree(finished / "cache", moved.study.path.parent / "cache")
    before = read_json(moved.run.scores)
    code, text = call(evaluate.main, str(moved.study.path), "--device", "cpu")
    assert code == 0, text
    assert read_json(moved.run.scores) == before


def test_data_that_is_gone_is_a_sentence(moved: MovedStudy, call: Call) -> None:
    def elsewhere(config: dict[str, Any]) -> None:
        config["data"] |= {"name": "folder", "root": "/no/such/folder"}

    plan = json.loads(moved.study.plan.read_text())
    elsewhere(plan["runs"][0]["config"])
    moved.study.plan.write_text(json.dumps(plan))
    config = compose.load(moved.run.config)
    config = replace(config, data=replace(config.data, name="folder", root="/no/such/folder"))
    moved.run.config.write_text(compose.dump(config))
    before = moved.run.scores.read_bytes()
    code, text = call(evaluate.main, str(moved.study.path), "--device", "cpu")
    assert code == 4 and "data.root=/no/such/folder does not exist" in text and "Traceback" not in text
    assert moved.run.scores.read_bytes() == before
    assert call(gather.main, str(moved.study.path))[0] == 0


@pytest.mark.slow
def test_a_study_with_absolute_paths_is_read_too(moved: MovedStudy, finished: Path, call: Call) -> None:
    """As studies were written before: the old output, in full, in plan.json and config.yaml."""
    for path in (moved.study.plan, moved.run.config):
        path.write_text(path.read_text().replace("{output}", str(moved.old)))
        assert str(moved.old) in path.read_text()
    shutil.copytree(finished / "cache", moved.study.path.parent / "cache")
    before = read_json(moved.run.scores)
    code, text = call(evaluate.main, str(moved.study.path), "--device", "cpu")
    assert code == 0, text
    assert read_json(moved.run.scores) == before and not moved.old.exists()
    assert compose.load(moved.run.config).output == str(moved.study.path.parent)


def test_what_was_sent_to_slurm_is_known_after_the_move(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Slurm(monkeypatch)
    output = tmp_path / "old"
    config = RunConfig(output=str(output), culture="korea", variant=Variant.mp, train=Train(steps=4))
    study = StudyDir(output / "first")
    plan_store.write(study, Plan("first", "none", output, (), (Run("korea-mp-s0-12345678", config, 4),)))
    send(study, 7, ids(study, "korea"))
    run_status.write_failure(study.run("korea-mp-s0-12345678"), "nan", "the loss is not finite", 2)
    new = StudyDir(tmp_path / "new" / "second")
    new.path.parent.mkdir()
    study.path.rename(new.path)
    shutil.rmtree(output)
    code, text = call(status.main, str(new.path))
    assert code == 0 and "of about 2.00 estimated" in text and "1 failed" in text
    code, text = call(why.main, str(new.path))
    assert code == 0 and "the loss is not finite" in text
    code, text = call(cancel.main, str(new.path), "--yes")
    assert code == 0 and "nothing to cancel" in text and not queue.cancelled
    monkeypatch.setenv("PATH", str(tmp_path))
    code, text = call(retry.main, str(new.path))
    assert code != 0 and "Slurm" in text and "Traceback" not in text
    (planned,) = plan_store.runs(new)
    assert planned.config.output == str(new.path.parent) and not output.exists()


def test_the_name_at_wandb_is_that_of_the_plan(moved: MovedStudy) -> None:
    from scoft_hpc.results.wandb_sync import records

    loaded = results.read(moved.study)
    assert loaded.name == "renamed" and records.summary_name(loaded) == "s-summary"
    assert plan_file.is_called(moved.study, "s") and plan_file.is_called(moved.study, "renamed")
