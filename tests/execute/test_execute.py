"""`execute` with the real toy base: run directories in, finished runs out, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from execute.planned_runs import planned
from reference import vgg
from scoft_hpc.config import compose
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.config.schema import Data, Variant
from scoft_hpc.execute import execute, main, prepare
from scoft_hpc.inputs import data_root, dataset
from scoft_hpc.inputs.checkpoints.digest import digest
from scoft_hpc.inputs.toy.world import prompts
from scoft_hpc.study import metrics_log, run_status
from scoft_hpc.study.run_status import Status


@pytest.mark.slow
def test_a_pack_of_all_variants_ends_in_results(tmp_path: Path) -> None:
    runs = planned(tmp_path, variants=list(Variant))
    assert execute([run.path for run in runs]) == 0
    for run, variant in zip(runs, Variant, strict=True):
        assert run_status.status(run) is Status.done
        assert not run.lease.exists()
        scores = json.loads(run.scores.read_text())
        assert set(scores["metrics"]) == set(METRICS) - {"fid"}
        assert len(scores["samples"]) == len(list(run.samples.glob("*.png"))) == 6
        assert len(scores["neutral"]) == len(list(run.neutral.glob("*.png"))) == 2
        moved = {name: scores["metrics"][name]["value"] for name in ("base_distance", "neutral_kid")}
        assert all(value == pytest.approx(0, abs=1e-9) for value in moved.values()) == (
            variant is Variant.base
        )
        assert run.lora.exists() == (variant is not Variant.base)
        assert [row[metrics_log.STEP] for row in metrics_log.read(run.metrics)] == (
            [] if variant is Variant.base else list(range(1, 7))
        )
        assert run_status.result(run)["steps"] == (0 if variant is Variant.base else 6)


@pytest.mark.slow
def test_the_bases_images_are_drawn_once_and_are_what_a_base_run_shows(tmp_path: Path) -> None:
    (base,) = planned(tmp_path, "culture=korea", variants=[Variant.base])
    assert execute([base.path]) == 0
    (cache,) = (tmp_path / "cache").glob("base-*")
    drawn = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert len(drawn) == 8
    images = {path.read_bytes() for folder in (base.samples, base.neutral) for path in folder.iterdir()}
    assert images == {path.read_bytes() for path in cache.iterdir()}
    (ldm,) = planned(tmp_path, "culture=korea", "train.steps=1", variants=[Variant.ldm])
    assert execute([ldm.path]) == 0
    assert {path.name: path.stat().st_mtime_ns for path in cache.iterdir()} == drawn
    (other,) = planned(tmp_path, "culture=mexico", "train.steps=1", variants=[Variant.ldm])
    assert execute([other.path]) == 0
    assert len(list(cache.iterdir())) == 8 + 6, "prompts that name no culture are shared by all"
    (seeded,) = planned(tmp_path, "culture=korea", "train.steps=1", "seed=1", variants=[Variant.ldm])
    assert execute([seeded.path]) == 0
    assert len(list((tmp_path / "cache").glob("base-*"))) == 2, "another seed has other noises"


@pytest.mark.slow
def test_photographs_of_any_size_go_the_same_way(tmp_path: Path) -> None:
    """JPEGs of other shapes, long captions in any script, no negatives, nothing held out."""
    train = tmp_path / "mydata" / "korea" / "train"
    train.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for i, (width, height) in enumerate([(120, 80), (80, 120), (64, 64), (448, 300)]):
        pixels = rng.integers(0, 256, (height // 4, width // 4, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((width, height)).save(train / f"{i}.jpg")
        text = f"한옥 number {i}, " + "a very long caption " * 20
        rows.append({"file_name": f"{i}.jpg", "text": text, "blip_text": ["a house", "a roof"]})
    (train / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ("data=folder", f"data.root={tmp_path / 'mydata'}", "data.pairs=4")
    runs = planned(tmp_path, *arguments, variants=[Variant.base, Variant.mpc])
    assert execute([run.path for run in runs]) == 0
    (negatives,) = (tmp_path / "cache").glob("korea-*/negatives")
    assert len(list(negatives.glob("*.png"))) == 4
    for run in runs:
        unknown = {"default_style", "in_style", "subject", "kid", "cmmd", "memorization", "copies", "fid"}
        assert set(json.loads(run.scores.read_text())["metrics"]) == set(METRICS) - unknown


@pytest.mark.slow
def test_prepare_makes_once_what_training_then_finds(tmp_path: Path) -> None:
    (run,) = planned(tmp_path)
    assert prepare([run.path]) == 0
    (culture,) = (tmp_path / "cache").glob("korea-*")
    before = {path: path.stat().st_mtime_ns for path in culture.rglob("*")}
    assert prepare([run.path]) == 0
    assert execute([run.path]) == 0
    assert list((tmp_path / "cache").glob("korea-*")) == [culture]
    assert {path: path.stat().st_mtime_ns for path in culture.rglob("*")} == before


@pytest.mark.slow
def test_prepare_tells_a_persons_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run,) = planned(tmp_path, "model.path=/no/such/model")
    assert main(["--prepare", str(run.path)]) == 2
    assert "/no/such/model" in capsys.readouterr().err


@pytest.mark.slow
def test_a_culture_that_broke_after_planning_stops_its_own_runs_only(tmp_path: Path) -> None:
    korea, mexico = planned(tmp_path), planned(tmp_path, "culture=mexico")
    config = compose.load(korea[0].config)
    broken = replace(config, data=replace(config.data, digest="0123456789abcdef"))
    korea[0].config.write_text(compose.dump(broken))
    assert execute([korea[0].path, mexico[0].path]) == 4
    failure = run_status.failure(korea[0])
    assert failure is not None and failure["cause"] == "settings" and "has changed" in failure["message"]
    assert mexico[0].result.exists()


@pytest.mark.slow
def test_a_gpu_that_torch_cannot_use_is_not_paid_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = planned(tmp_path, "device=auto")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert execute([run.path]) == 4
    failure = run_status.failure(run)
    assert failure is not None and failure["cause"] == "settings" and "device=cpu" in failure["message"]


@pytest.mark.slow
def test_finished_runs_are_passed_over(tmp_path: Path) -> None:
    (run,) = planned(tmp_path)
    assert execute([run.path]) == 0
    before = {path: path.stat().st_mtime_ns for path in run.path.rglob("*")}
    assert execute([run.path]) == 0
    assert {path: path.stat().st_mtime_ns for path in run.path.rglob("*")} == before


@pytest.mark.slow
def test_a_lane_that_diverges_fails_alone_with_its_reason(tmp_path: Path) -> None:
    """An absurd learning rate makes the second update's gradient overflow."""
    sound, absurd = planned(tmp_path), planned(tmp_path, "train.lr=1e30")
    assert execute([sound[0].path, absurd[0].path]) == 4
    assert run_status.status(sound[0]) is Status.done
    failure = run_status.failure(absurd[0])
    assert failure is not None
    assert failure["cause"] == "nan"
    assert "not finite" in failure["message"]
    assert not absurd[0].result.exists()


@pytest.mark.slow
def test_what_keeps_the_pack_from_running_is_every_runs_failure(tmp_path: Path) -> None:
    runs = planned(tmp_path, "model.path=/no/such/model", variants=[Variant.ldm, Variant.m])
    assert execute([run.path for run in runs]) == 4
    for run in runs:
        failure = run_status.failure(run)
        assert failure is not None
        assert "/no/such/model" in failure["message"]


@pytest.mark.slow
def test_data_that_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    (run,) = planned(tmp_path, "data.digest=0123456789abcdef")
    assert execute([run.path]) == 4
    failure = run_status.failure(run)
    assert failure is not None
    assert "has changed since the run was planned" in failure["message"]


@pytest.mark.slow
def test_feature_networks_that_changed_since_the_plan_are_refused(tmp_path: Path) -> None:
    """Other weights, or the same compared in another way: the run would not be the one that its id stands for."""
    state = {f"features.{name}": value for name, value in vgg.features().state_dict().items()}
    save_file(state, tmp_path / "vgg16.safetensors")
    arguments = (
        "objective.w_vgg=0.01",
        f"objective.vgg_path={tmp_path / 'vgg16.safetensors'}",
        "train.steps=1",
    )
    weights = digest(tmp_path, ["vgg16.safetensors"])
    before = hashlib.sha256(f"vgg:{weights}".encode()).hexdigest()[
        :16
    ]  # as long as all maps were before ReLU
    (run,) = planned(tmp_path, *arguments, f"objective.digest={before}")
    assert execute([run.path]) == 4
    failure = run_status.failure(run)
    assert failure is not None
    assert "have changed since the run was planned" in failure["message"]
    assert before[:8] in failure["message"] and "study=NAME" in failure["message"]


def test_importing_the_door_loads_no_torch() -> None:
    code = "import sys, scoft_hpc.execute; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.slow
def test_baselines_share_the_pack_of_what_is_trained(tmp_path: Path) -> None:
    """Told other words, the base draws other pictures of the same prompts; another generator's are scored as is."""
    world = dataset.read(data_root.locate(Data(), tmp_path), "korea")
    things = [prompt.split()[1] for prompt in prompts("korea")[:3]]
    for p, thing in enumerate(things):
        photographs = [pair.image for pair in world.held_out if f" {thing} " in f" {pair.text} "]
        for s in range(2):
            copy = tmp_path / "sdxl" / "korea" / f"p{p:02d}-s{s:02d}.png"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(photographs[s].read_bytes())
    baselines = (("evaluation.prompting=rewritten",), (f"evaluation.images={tmp_path / 'sdxl'}",))
    runs = [
        run
        for arguments in ((), *baselines)
        for run in planned(tmp_path, *arguments, variants=[Variant.base])
    ]
    runs += planned(tmp_path, variants=[Variant.ldm])
    assert execute([run.path for run in runs]) == 0
    scores = [json.loads(run.scores.read_text()) for run in runs]
    assert len({tuple(row["prompt"] for row in one["samples"]) for one in scores}) == 1
    assert [one["samples"][0]["model_prompt"] for one in scores] == [
        "a house in korea",
        "a striped house",
        *["a house in korea"] * 2,
    ]
    base, rewritten, images, _ = (
        [path.read_bytes() for path in sorted(run.samples.iterdir())] for run in runs
    )
    assert all(a != b for a, b in zip(base, rewritten, strict=True))
    assert images == [path.read_bytes() for path in sorted((tmp_path / "sdxl" / "korea").iterdir())]
    assert scores[2]["metrics"]["in_style"]["value"] == 1 and scores[2]["metrics"]["subject"]["value"] == 1


@pytest.mark.slow
def test_another_generators_images_that_changed_stop_their_run_alone(tmp_path: Path) -> None:
    (base,) = planned(tmp_path, variants=[Variant.base])
    arguments = (f"evaluation.images={tmp_path / 'gone'}", "evaluation.digest=0123456789abcdef")
    (images,) = planned(tmp_path, *arguments, variants=[Variant.base])
    assert execute([base.path, images.path]) == 4
    failure = run_status.failure(images)
    assert (
        failure is not None and failure["cause"] == "settings" and "has no folder korea" in failure["message"]
    )
    assert base.result.exists()
