"""Words in, frozen configs out; and back through a run's config.yaml and a plan's JSON."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from scoft_hpc.config import compose
from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.config.identity import run_id
from scoft_hpc.config.plain import to_override
from scoft_hpc.config.schema import ContrastiveForm, Model, NegativeSource, RunConfig, Variant
from scoft_hpc.errors import ConfigError
from scoft_hpc.launch.planning.ablation_grid import expand_grid


def _run(*arguments: str) -> RunConfig:
    config = compose.compose("train", arguments)
    assert isinstance(config, RunConfig)
    return config


def test_words_become_a_frozen_config() -> None:
    config = _run(
        "culture=mexico", "variant=mp", "seed=3", "train.lr=1", "lora.targets=[to_q]", "lora.alpha=4"
    )
    assert (config.culture, config.variant, config.seed) == ("mexico", Variant.mp, 3)
    assert config.train.lr == 1.0
    assert config.lora.targets == ("to_q",)
    assert config.lora.alpha == 4.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.seed = 4


def test_lists_are_tuples_and_the_config_can_be_a_key() -> None:
    assert _run().train.betas == (0.9, 0.999)
    assert {_run(): 1}[_run()] == 1


def test_groups() -> None:
    assert _run("objective=triplet").objective.form is ContrastiveForm.triplet
    config = _run("data=folder", "data.root=/photos")
    assert (config.data.name, config.data.root) == ("folder", "/photos")
    assert config.data.negatives.source is NegativeSource.img2img
    assert "loss_terms" in compose.options("ablation")


@pytest.mark.slow
def test_words_win_over_a_group_whatever_their_order() -> None:
    assert _run("lora.rank=5", "model=toy").lora.rank == 5
    assert _run("model=toy", "lora.rank=5").lora.rank == 5


def test_sweep() -> None:
    config = compose.compose("sweep", ["culture=[korea,china]", "seed=[0,1]", "plan=only"])
    assert isinstance(config, SweepConfig)
    assert list(config.culture) == ["korea", "china"]
    assert config.ablation.axes == {"variant": ["base", "ldm", "m", "mp", "mpc"]}


@pytest.mark.slow
@pytest.mark.parametrize("ablation", compose.options("ablation"))
def test_settings_beside_the_words_do_what_words_do(ablation: str) -> None:
    """Hydra composes once for an ablation's arms; each is the config that its words alone would give."""
    arguments = ["culture=all", f"ablation={ablation}", "train.lr=1e-3"]
    for arm in expand_grid(compose.compose("sweep", arguments).ablation):
        alone = [*arguments, *(f"{axis}={to_override(value)}" for axis, value in arm.items())]
        assert compose.compose("sweep", arguments, arm) == compose.compose("sweep", alone)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"data": "toy", "culture": ["korea", "no", "1e3"], "data.pairs": None},
        {"cluster.sbatch": {"nodelist": "w001"}, "output": "~/a b", "train.betas": [0.5, 0.9]},
        {"train.lr": "0.5", "lora.rank": "8", "study": "null", "objective.w_c": 1},
        {"train.lr": "fast"},
        {"train.lrr": 1},
        {"study": "${oc.env:HOME}"},
    ],
)
def test_settings_of_every_kind_do_what_words_do(settings: dict[str, Any]) -> None:
    def outcome(arguments: list[str], beside: dict[str, Any]) -> Any:
        try:
            return compose.compose("sweep", ["culture=all", *arguments], beside)
        except ConfigError as error:
            return str(error)

    assert outcome([], settings) == outcome(
        [f"{key}={to_override(value)}" for key, value in settings.items()], {}
    )


@pytest.mark.parametrize("sign", ["", "+", "++"])
def test_axes_can_be_changed_and_added(sign: str) -> None:
    arguments = [f"{sign}ablation.axes.variant=[m]", "ablation.axes={objective: [official, triplet]}"]
    axes = compose.compose("sweep", arguments).ablation.axes
    assert axes == {"variant": ["m"], "objective": ["official", "triplet"]}


@pytest.mark.slow
@pytest.mark.parametrize(
    "root",
    ["~/photos", "/data/photos (2)", "/données/corée", "/a b/c", 'say "hi"', "C:\\photos", "/a#b/c", "a&b;c"],
)
def test_any_path_can_be_given(root: str) -> None:
    assert _run("data=folder", f"data.root={root}").data.root == root


@pytest.mark.slow
@pytest.mark.parametrize("culture", ["perú", "한국", "côte d'ivoire", "st. kitts & nevis"])
def test_culture_in_any_script(culture: str) -> None:
    assert _run(f"culture={culture}").culture == culture


def test_dump_and_load(tmp_path: Path) -> None:
    config = _run(
        "culture=perú", "variant=base", "objective=triplet", "study=a", "train.lr=3e-5", "data.pairs=4"
    )
    path = tmp_path / "config.yaml"
    path.write_text(compose.dump(config))
    assert compose.load(path) == config
    assert run_id(compose.load(path)) == run_id(config)


TEXTS = (
    "on",
    "null",
    "1e5",
    "0x1f",
    "12:30",
    "nan",
    ".inf",
    "~",
    "a: b",
    "- x",
    "#x",
    "'",
    '"',
    "",
    " ",
    "né\n",
    "1_000",
)


@pytest.mark.slow
@pytest.mark.parametrize("text", TEXTS)
def test_a_word_stays_a_word(tmp_path: Path, text: str) -> None:
    """YAML would read most of these as something else."""
    config = dataclasses.replace(RunConfig(), culture=text, model=Model(path=text))
    (tmp_path / "config.yaml").write_text(compose.dump(config))
    assert compose.load(tmp_path / "config.yaml") == config


def test_to_and_from_a_plan() -> None:
    config = _run("seed=7", "objective.gradient=random")
    mapping = json.loads(json.dumps(compose.to_mapping(config)))
    assert mapping["objective"]["gradient"] == "random"
    assert compose.from_mapping(mapping) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: [", "is not YAML"),
        ("- seed", "holds no settings"),
        ("a word", "."),
        ("culture: ${oc.env:HOME}", "plain values"),
        ("culture: ${culture}", "plain values"),
        ("_target_: os.system", "_target_"),
        ("model: {_target_: os.system}", "_target_"),
        ("sed: 1", "sed"),
        ("seed: many", "many"),
        ("variant: mpx", "mpx"),
        ("train: {betas: [1]}", "expected 2 values"),
        ("!!python/object/apply:os.system ['true']", "is not YAML"),
        ("train: 3", "."),
    ],
)
def test_load_refuses(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        compose.load(path)
    assert str(path) in str(caught.value)


def test_load_of_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        compose.load(tmp_path / "config.yaml")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not YAML"):
        compose.load(tmp_path / "binary")


def test_environment_reaches_no_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "s3cret")
    node = OmegaConf.create({"culture": "${oc.env:WANDB_API_KEY}"})
    with pytest.raises(ConfigError, match="plain values") as caught:
        compose.to_config(node, RunConfig)
    assert "s3cret" not in str(caught.value)
