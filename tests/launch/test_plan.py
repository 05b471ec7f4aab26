"""Planning: arms, cultures and seeds, what is refused and how, and what a study on disk allows."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scoft_hpc.config import compose
from scoft_hpc.errors import ConfigError, DataError, LaunchError, ScoftError
from scoft_hpc.inputs.toy.world import ASSETS
from scoft_hpc.launch.planning import plan_store
from scoft_hpc.launch.planning.plan import Plan, build_plan
from scoft_hpc.study.paths import StudyDir
from scoft_hpc.study.plan_file import read
from scoft_hpc.study.stored_config import located


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cultures of six small pairs, with negatives."""
    folder = tmp_path_factory.mktemp("cultures")
    for number, culture in enumerate(("atlantis", "lemuria", "mu")):
        write_culture(folder / culture, shade=80 * number)
    return folder


def write_culture(folder: Path, shade: int, pairs: int = 6) -> None:
    (folder / "train").mkdir(parents=True)
    rows = []
    for i in range(pairs):
        Image.new("RGB", (64, 64), (shade, 40 * i, 0)).save(folder / "train" / f"{i}.png")
        Image.new("RGB", (64, 64), (shade, 40 * i, 9)).save(folder / f"negative{i}.png")
        row = {"file_name": f"{i}.png", "text": f"picture {i}", "blip_text": "a picture"}
        rows.append(row | {"negative_imgpath": [f"negative{i}.png"]})
    (folder / "train" / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.fixture
def arguments(root: Path, tmp_path: Path) -> Iterator[list[str]]:
    yield ["data=folder", f"data.root={root}", f"output={tmp_path}"]


def planned(arguments: list[str]) -> Plan:
    return build_plan(compose.compose("sweep", arguments), arguments)


def counting(called: Counter[str], name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def counted(*args: Any) -> Any:
        called[name] += 1
        return function(*args)

    return counted


def fault(error: type[ScoftError], arguments: list[str]) -> str:
    with pytest.raises(error) as caught:
        planned(arguments)
    return str(caught.value)


@pytest.mark.slow
def test_a_noise_process_of_fewer_timesteps_limits_the_samplers_steps(
    arguments: list[str], tmp_path: Path
) -> None:
    base = Path(shutil.copytree(ASSETS / "base", tmp_path / "sd"))
    file = base / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"num_train_timesteps": 40}))
    arguments = [*arguments, f"model.path={base}", "model.name=forty"]
    message = fault(ConfigError, [*arguments, "evaluation.steps=50"])
    assert message == f"evaluation.steps=50: model.path={base} has 40 timesteps; expected at most 39."
    assert "data.negatives.steps=40" in fault(
        ConfigError, [*arguments, "evaluation.steps=39", "data.negatives.steps=40", "negatives=img2img"]
    )
    assert planned([*arguments, "evaluation.steps=39"]).runs


def test_every_variant_for_every_culture_and_seed_in_order(arguments: list[str]) -> None:
    plan = planned([*arguments, "seed=[0,2]"])
    planned_runs = [(run.config.culture, run.config.variant.name, run.config.seed) for run in plan.runs]
    variants = ["base", "ldm", "m", "mp", "mpc"]
    cultures = ["atlantis", "lemuria", "mu"]
    assert planned_runs == [(c, v, s) for c in cultures for v in variants for s in (0, 2)]
    assert len({run.run_id for run in plan.runs}) == 30
    assert plan.study == "loss_terms-all-folder"
    assert {run.config.study for run in plan.runs} == {plan.study}


@pytest.mark.parametrize(
    ("argument", "cultures", "study"),
    [
        ("culture=mu", ["mu"], "loss_terms-mu-folder"),
        ("culture=[mu,atlantis]", ["mu", "atlantis"], "loss_terms-2-cultures-folder"),
        ("culture=[mu,mu]", ["mu"], "loss_terms-mu-folder"),
    ],
)
def test_a_culture_is_a_name_or_a_list(
    arguments: list[str], argument: str, cultures: list[str], study: str
) -> None:
    plan = planned([*arguments, argument, "ablation.axes.variant=[base]"])
    assert list(dict.fromkeys(run.config.culture for run in plan.runs)) == cultures
    assert plan.study == study


def test_digests_and_absolute_paths_are_filled_in(arguments: list[str], root: Path) -> None:
    runs = planned(arguments).runs
    by_culture = {run.config.culture: run.config.data.digest for run in runs}
    assert len(set(by_culture.values())) == 3 and all(len(digest) == 16 for digest in by_culture.values())
    assert {len(run.config.model.digest) for run in runs} == {16}
    assert {run.config.data.root for run in runs} == {str(root)}
    assert all(
        Path(path).is_absolute() for run in runs for path in (run.config.model.path, run.config.output)
    )


def test_steps_come_from_the_epochs_where_none_are_given(arguments: list[str]) -> None:
    plan = planned([*arguments, "train.steps=null", "train.epochs=10", "train.batch=4", "culture=mu"])
    assert {run.config.variant.name: run.steps for run in plan.runs} == {
        "base": 0, "ldm": 20, "m": 20, "mp": 20, "mpc": 20,
    }  # fmt: skip


def test_axes_may_be_settings_or_groups_and_equal_runs_collapse(arguments: list[str]) -> None:
    axes = (
        "ablation.axes={variant: [base, mpc], objective: [official, triplet], train.lr: [1e-3, 0.001, 2e-3]}"
    )
    plan = planned([*arguments, "culture=mu", axes])
    arms = [(r.config.variant.name, r.config.objective.form.name, r.config.train.lr) for r in plan.runs]
    assert arms == [
        ("base", "official", 0.001),
        *(("mpc", form, lr) for form in ("official", "triplet") for lr in (0.001, 0.002)),
    ]


def test_an_axis_given_as_a_word_is_refused_with_the_way_to_restrict_it(arguments: list[str]) -> None:
    text = fault(ConfigError, [*arguments, "variant=mpc"])
    assert "`variant=mpc`" in text and "'ablation.axes.variant=[mpc]'" in text
    plan = planned([*arguments, "ablation.axes.variant=[base,mpc]", "culture=mu"])
    assert [run.config.variant.name for run in plan.runs] == ["base", "mpc"]


def test_all_faults_of_the_settings_are_told_at_once(arguments: list[str]) -> None:
    text = fault(ConfigError, [*arguments, "variant=mpc", "seed=[0,-1]", "study='a b'"])
    assert "variant=mpc" in text and "seed=[0,-1]" in text and "study=a b" in text
    text = fault(ConfigError, [*arguments, "ablation.axes={variant: [mpc, mcp], train.lrr: [1]}"])
    assert "mcp" in text and "train.lrr" in text
    assert "leaves nothing to run" in fault(ConfigError, [*arguments, "ablation.axes.variant=[]"])
    assert "write culture=" in fault(ConfigError, [*arguments, "ablation.axes={culture: [mu]}"])


@pytest.mark.slow
@pytest.mark.parametrize("axis", ["study", "output", "plan", "cluster.lanes", "budget.su", "tune.trials"])
def test_settings_of_the_study_as_a_whole_are_no_axes(arguments: list[str], axis: str) -> None:
    text = fault(ConfigError, [*arguments, f"ablation.axes={{{axis}: [1, 2]}}"])
    assert f"ablation.axes.{axis}: not a setting that an ablation can vary; write {axis}=" in text


def test_unknown_cultures_are_refused_with_the_options(arguments: list[str]) -> None:
    text = fault(ConfigError, [*arguments, "culture=[mu,nowhere,utopia]"])
    assert "nowhere, utopia" in text and "atlantis, lemuria, mu" in text


def test_the_faults_of_all_cultures_are_told_at_once(tmp_path: Path) -> None:
    for culture in ("a", "b", "c"):
        write_culture(tmp_path / culture, shade=0)
    (tmp_path / "a" / "train" / "2.png").write_bytes(b"not a picture")
    (tmp_path / "c" / "train" / "4.png").unlink()
    text = fault(DataError, ["data=folder", f"data.root={tmp_path}", f"output={tmp_path / 'out'}"])
    assert "2.png" in text and "4.png" in text and len(text.splitlines()) == 2


def test_without_negatives_the_full_method_is_refused_and_others_are_not(tmp_path: Path) -> None:
    write_culture(tmp_path / "mu", shade=0)
    rows = [json.loads(line) for line in (tmp_path / "mu/train/metadata.jsonl").read_text().splitlines()]
    rows[3]["negative_imgpath"] = []
    (tmp_path / "mu/train/metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ["data=folder", f"data.root={tmp_path}", f"output={tmp_path}", "data.negatives.source=given"]
    assert "mu: 1 of 6 pairs have no negatives (the first is 3.png)" in fault(DataError, arguments)
    assert len(planned([*arguments, "ablation.axes.variant=[ldm,mp]"]).runs) == 2
    drawn = [*arguments[:3], "data.negatives.source=img2img", "ablation.axes.variant=[mpc]"]
    assert len(planned(drawn).runs) == 1


def test_a_thousand_runs_are_composed_once_an_arm(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = f"seed=[{','.join(map(str, range(67)))}]"
    config = compose.compose("sweep", [*arguments, seeds])
    called: Counter[str] = Counter()
    monkeypatch.setattr(compose, "compose", counting(called, "compose", compose.compose))
    plan = build_plan(config, [*arguments, seeds])
    content = plan_store.to_json(plan)
    assert len(plan.runs) == 1005
    assert called == {"compose": 5}
    for run, entry in list(zip(plan.runs, content["runs"], strict=True))[::200]:
        config = located(json.loads(json.dumps(entry["config"])), plan.output)
        assert compose.from_mapping(dict(config)) == run.config


def test_the_plan_is_written_once_and_the_same_study_continues(arguments: list[str], tmp_path: Path) -> None:
    arguments = [*arguments, "culture=mu", "ablation.axes.variant=[base,mpc]"]
    plan, study = planned(arguments), StudyDir(tmp_path / "loss_terms-mu-folder")
    plan_store.require_same_plan(study, plan)
    plan_store.write(study, plan)
    before = study.plan.read_bytes()
    assert [run.run_id for run in read(study).runs] == [run.run_id for run in plan.runs]
    elsewhere = planned([*arguments, "threads=3", "cluster.jobs=1"])
    plan_store.require_same_plan(study, elsewhere)
    plan_store.write(study, elsewhere)
    assert study.plan.read_bytes() == before
    plan_store.write_config(study, elsewhere.runs[0])
    assert compose.load(study.run(plan.runs[0].run_id).config) == elsewhere.runs[0].config


def test_a_study_of_other_runs_is_refused_with_what_differs(arguments: list[str], tmp_path: Path) -> None:
    arguments = [*arguments, "culture=mu", "ablation.axes.variant=[base,mpc]"]
    study = StudyDir(tmp_path / "loss_terms-mu-folder")
    plan_store.write(study, planned(arguments))
    with pytest.raises(LaunchError) as caught:
        plan_store.require_same_plan(study, planned([*arguments, "seed=[0,1]", "train.lr=3e-3"]))
    text = str(caught.value)
    assert "consists of 2 other runs: 1 of the 4" in text, "the base does not depend on lr"
    assert "seed: 0 there, 0, 1 now" in text
    assert f"train.lr: {planned(arguments).runs[-1].config.train.lr} there, 0.003 now" in text
    assert "study=NAME" in text and "model" not in text


def test_a_broken_plan_is_left_alone(arguments: list[str], tmp_path: Path) -> None:
    study, plan = StudyDir(tmp_path / "loss_terms-mu-folder"), planned([*arguments, "culture=mu"])
    study.path.mkdir()
    study.plan.write_text('{"version": 1, "ru')
    with pytest.raises(LaunchError, match="cannot be read as a plan"):
        plan_store.require_same_plan(study, plan)
    study.plan.write_text('{"version": 9, "runs": []}')
    with pytest.raises(LaunchError, match="version 9"):
        plan_store.require_same_plan(study, plan)
    study.plan.write_text('{"version": 1, "runs": [{"run_id": "../../etc"}]}')
    with pytest.raises(LaunchError, match="not a run id"):
        plan_store.require_same_plan(study, plan)


def test_an_arm_keeps_every_setting_of_the_words(arguments: list[str]) -> None:
    plan = planned([*arguments, "culture=mu", "seed=7", "objective.every=3", "lora.rank=4"])
    config = plan.runs[-1].config
    composed = compose.compose(
        "train", ["culture=mu", "seed=7", "objective.every=3", "lora.rank=4", "data=folder"]
    )
    assert replace(
        config, data=composed.data, model=composed.model, output=composed.output, study=composed.study
    ) == replace(composed, model=composed.model)
