"""A family that `src` has never seen goes the whole line: planned, prepared, trained, sampled, scored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

import tiny_flow
from scoft_hpc.config import compose
from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.config.schema import RunConfig
from scoft_hpc.data import culture_cache
from scoft_hpc.data.culture_cache import CachedCulture
from scoft_hpc.data.training_batch import TargetNames, sample_batch
from scoft_hpc.errors import ConfigError
from scoft_hpc.execute import execute
from scoft_hpc.inputs.cache_key import folder_of
from scoft_hpc.inputs.checkpoints import families
from scoft_hpc.launch.planning import plan, plan_store
from scoft_hpc.launch.planning.plan import Plan
from scoft_hpc.losses.denoising import l_ldm
from scoft_hpc.models.families import registry
from scoft_hpc.study.metrics_log import read
from scoft_hpc.study.paths import RunDir, StudyDir

STEPS = 60
ARGUMENTS = (
    "culture=korea",
    "model.family=tiny_flow",
    f"lora.targets=[{','.join(tiny_flow.TARGETS)}]",
    f"train.steps={STEPS}",
    "train.lr=2e-2",
    "train.schedule=constant",
    "negatives=txt2img",
    "data.negatives.steps=2",
    "data.pairs=8",
    "evaluation.steps=3",
    "evaluation.samples=2",
    "evaluation.prompts=2",
    "evaluation.neutral=1",
    "objective.rollout_steps=4",
    "threads=1",
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_flow.register(monkeypatch)


def planned(folder: Path, *arguments: str) -> Plan:
    arguments = (*ARGUMENTS, f"model.path={folder / 'model'}", f"output={folder / 'outputs'}", *arguments)
    config: SweepConfig = compose.compose("sweep", arguments)
    return plan.build_plan(config, arguments)


@torch.no_grad()
def losses_of_the_base(config: RunConfig, culture: CachedCulture) -> list[float]:
    """L_LDM of the base alone in each update, on what the lanes drew in it."""
    model, losses = tiny_flow.load(config.model, torch.device("cpu")), []
    for step in range(STEPS):
        batch = sample_batch(config, culture, model.process, 0, step, TargetNames())
        z_t = model.process.add_noise(batch.z_0, batch.eps, batch.t)
        target = model.process.target(batch.z_0, batch.eps, batch.t)
        losses.append(float(l_ldm(model.predict(z_t, batch.t, batch.text), target).mean()))
    return losses


def test_the_halves_of_the_table_name_the_same_families() -> None:
    assert families.FAMILIES.keys() == registry.FAMILIES.keys()


@pytest.mark.slow
def test_the_whole_line(tmp_path: Path) -> None:
    tiny_flow.write(tmp_path / "model")
    plan = planned(tmp_path, "ablation.axes.variant=[base,ldm,mpc]")
    study = StudyDir(plan.output / plan.study)
    plan_store.write(study, plan)
    runs: dict[str, RunDir] = {}
    for one in plan.runs:
        plan_store.write_config(study, one)
        runs[one.config.variant.name] = study.run(one.run_id)
    assert execute([run.path for run in runs.values()]) == 0

    config = plan.runs[-1].config
    culture = culture_cache.load(folder_of(config, config.data.digest), torch.device("cpu"))
    assert culture.moments.shape == (8, 2, 2, tiny_flow.CHANNELS, 8, 8)
    assert {name: tuple(held.shape[1:]) for name, held in culture.text.tensors.items()} == {
        "states": (tiny_flow.TOKENS, tiny_flow.NARROW + tiny_flow.WIDE),
        "pooled": (tiny_flow.WIDE,),
        "guidance": (),
    }
    assert culture.negative.float().std() > 0

    untrained = losses_of_the_base(config, culture)
    for name in ("ldm", "mpc"):
        losses = [float(row["loss_ldm"]) for row in read(runs[name].metrics)]
        assert len(losses) == STEPS
        assert losses[0] == pytest.approx(untrained[0], rel=1e-5)
        assert sum(losses[-15:]) < 0.8 * sum(untrained[-15:]), "training lowers L_LDM on the same draws"
        weights = load_file(runs[name].lora)
        assert all(key.startswith("transformer.") for key in weights)
        assert any(tensor.abs().max() > 0 for key, tensor in weights.items() if "lora_B" in key)
        with safe_open(runs[name].lora, "pt") as opened:
            assert json.loads(opened.metadata()["lora_adapter_metadata"])["transformer.r"] == 8
        assert not runs[name].lora_kohya.exists()
        card = runs[name].card.read_text()
        assert "TinyFlowPipeline" in card and "tiny-flow" in card and "StableDiffusion" not in card
    losses = [row["loss_c"] for row in read(runs["mpc"].metrics)]
    assert any(loss is not None for loss in losses), "rollouts were compared"

    pictures = {
        name: [path.read_bytes() for path in sorted(run.samples.iterdir())] for name, run in runs.items()
    }
    assert {len(drawn) for drawn in pictures.values()} == {4}
    for name in ("ldm", "mpc"):
        assert all(a != b for a, b in zip(pictures["base"], pictures[name], strict=True)), (
            "adapters change images"
        )
    with Image.open(next(runs["mpc"].samples.iterdir())) as image:
        assert image.size == (64, 64)
    for run in runs.values():
        metrics = json.loads(run.scores.read_text())["metrics"]
        assert {"in_style", "subject", "kid", "diversity"} <= set(metrics)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (
            ("negatives=depth",),
            r"negatives=depth cannot be used with model\.family=tiny_flow; take .*txt2img",
        ),
        (("lora.kohya=true",), r"lora\.kohya=true cannot be used with model\.family=tiny_flow"),
        (
            ("model.family=tiny_flo",),
            r"model\.family=tiny_flo: not known; it is one of stable_diffusion, tiny_flow",
        ),
        (("model.path=elsewhere",), r"model\.path=elsewhere lacks config\.json, weights\.safetensors"),
    ],
)
def test_what_the_family_does_not_have_is_refused_by_name(
    tmp_path: Path, arguments: tuple[str, ...], fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_flow.write(tmp_path / "model")
    if arguments == ("negatives=depth",):  # whose networks are not on this machine
        monkeypatch.setattr(plan, "resolve_negatives", lambda negatives: negatives)
    given = {argument.partition("=")[0] for argument in arguments}
    usual = [
        argument
        for argument in (*ARGUMENTS, f"model.path={tmp_path / 'model'}")
        if argument.partition("=")[0] not in given
    ]
    overrides = (*usual, f"output={tmp_path}", "ablation.axes.variant=[mpc]", *arguments)
    config: SweepConfig = compose.compose("sweep", overrides)
    with pytest.raises(ConfigError, match=fault):
        plan.build_plan(config, overrides)
