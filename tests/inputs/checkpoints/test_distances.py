"""Where a run's feature networks lie is known, checked and digested when it is planned."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import distance_networks
from scoft_hpc.config.schema import Objective, Variant
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import catalogue, distances
from scoft_hpc.inputs.checkpoints.digest import digest
from scoft_hpc.inputs.checkpoints.distances import resolve
from scoft_hpc.perceptual.registry import load_distance


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    distance_networks.refuse_connections(monkeypatch)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return distance_networks.save(tmp_path_factory.mktemp("networks"))


@pytest.fixture(autouse=True)
def an_empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "hub"


def downloaded(cache: Path, hub: str, *files: tuple[Path, str]) -> Path:
    """A snapshot as `hf download` leaves it."""
    repository = cache / f"models--{hub.replace('/', '--')}"
    snapshot = repository / "snapshots" / "0123abc"
    for source, name in files:
        (snapshot / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, snapshot / name)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abc")
    return snapshot


@pytest.mark.parametrize("variant", [Variant.base, Variant.ldm, Variant.m])
def test_a_variant_without_rollouts_needs_no_network(variant: Variant) -> None:
    objective = Objective(distance="dino", distance_path="nowhere", digest="of another plan")
    assert resolve(objective, variant) == replace(objective, digest="")


def test_the_toy_distance_needs_no_weights() -> None:
    objective = Objective(distance="toy", w_vgg=0)
    assert resolve(objective, Variant.mpc) == objective


@pytest.mark.parametrize("name", ["dino", "clip", "blip2", "vgg"])
def test_paths_become_absolute_and_contents_a_digest(
    name: str, folders: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folders[name].parent)
    relative = {"vgg_path" if name == "vgg" else "distance_path": folders[name].name}
    objective = Objective(distance=name, **{"w_vgg": 0, **relative})
    resolved = resolve(objective, Variant.mp)
    assert distances.path_of(name, resolved) == str(folders[name])
    assert len(resolved.digest) == 16
    assert resolve(resolved, Variant.mpc) == resolved
    copy = (
        Path(shutil.copytree(folders[name], tmp_path / "copy")) if folders[name].is_dir() else folders[name]
    )
    setting = {"vgg_path" if name == "vgg" else "distance_path": str(copy)}
    assert resolve(Objective(distance=name, **{"w_vgg": 0, **setting}), Variant.mp).digest == resolved.digest


def test_other_weights_or_another_term_are_another_digest(folders: dict[str, Path], tmp_path: Path) -> None:
    alone = Objective(distance="dino", distance_path=str(folders["dino"]), w_vgg=0)
    both = replace(alone, w_vgg=0.01, vgg_path=str(folders["vgg"]))
    shutil.copytree(folders["dino"], tmp_path / "other")
    state = load_file(tmp_path / "other" / "model.safetensors")
    state["layernorm.bias"] += 1
    save_file(state, tmp_path / "other" / "model.safetensors", metadata={"format": "pt"})
    other = replace(alone, distance_path=str(tmp_path / "other"))
    assert len({resolve(o, Variant.mpc).digest for o in (alone, both, other)}) == 3


def test_a_digest_depends_on_which_maps_of_vgg_are_compared(folders: dict[str, Path]) -> None:
    """A run that compared maps before every ReLU is another run, though its weights were the same."""
    objective = Objective(distance="vgg", vgg_path=str(folders["vgg"]))
    weights = digest(folders["vgg"].parent, [folders["vgg"].name])
    before = hashlib.sha256(f"vgg:{weights}".encode()).hexdigest()[:16]
    assert resolve(objective, Variant.mpc).digest != before
    dino = Objective(distance="dino", distance_path=str(folders["dino"]), w_vgg=0)
    unchanged = f"dino:{digest(folders['dino'], ['config.json', 'model.safetensors'])}"
    assert resolve(dino, Variant.mpc).digest == hashlib.sha256(unchanged.encode()).hexdigest()[:16]


def test_hub_ids_are_the_defaults_and_are_found_in_the_cache(
    an_empty_cache: Path, folders: dict[str, Path]
) -> None:
    dino = [(path, path.name) for path in folders["dino"].iterdir()]
    snapshot = downloaded(an_empty_cache, "facebook/dinov2-large", *dino)
    vgg = downloaded(an_empty_cache, "timm/vgg16.tv_in1k", (folders["vgg"], "model.safetensors"))
    resolved = resolve(Objective(distance="dino"), Variant.mpc)
    assert resolved.distance_path == str(snapshot)
    assert resolved.vgg_path == str(vgg / "model.safetensors")
    assert load_distance("dino", Objective(distance="dino"), torch.device("cpu")).cacheable


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("dino", 'hf download facebook/dinov2-large --include "config.json" --include "model.safetensors"'),
        (
            "clip",
            'hf download openai/clip-vit-base-patch32 --include "config.json" --include "pytorch_model.bin"',
        ),
        (
            "blip2",
            'hf download Salesforce/blip2-itm-vit-g --include "config.json" --include "model.safetensors"',
        ),
        ("dreamsim", "dreamsim(device='cpu', cache_dir='DIR')"),
    ],
)
def test_all_that_is_missing_is_told_at_once_with_the_line_that_gets_it(name: str, line: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(Objective(distance=name), Variant.mpc)
    message = str(caught.value)
    assert line in message
    assert 'hf download timm/vgg16.tv_in1k --include "model.safetensors"' in message
    assert message.count("\n") == 1


def test_an_unknown_distance_names_the_options() -> None:
    with pytest.raises(ConfigError, match=r"distance=lpips.*toy, dreamsim, dino, clip, blip2, vgg"):
        resolve(Objective(distance="lpips", w_vgg=0), Variant.mpc)


def test_one_network_serves_as_distance_and_as_the_vgg_term(folders: dict[str, Path]) -> None:
    given = Objective(distance="vgg", distance_path=str(folders["vgg"]))
    resolved = resolve(given, Variant.mpc)
    assert (resolved.vgg_path, resolved.distance_path) == (str(folders["vgg"]), None)
    with pytest.raises(ConfigError, match="distance_path=there is not used beside"):
        resolve(replace(resolved, distance_path="there"), Variant.mpc)


def test_a_path_that_the_toy_distance_would_ignore_is_refused() -> None:
    with pytest.raises(ConfigError, match="not used by distance toy"):
        resolve(Objective(distance="toy", w_vgg=0, distance_path="there"), Variant.mpc)


def test_another_network_is_refused(folders: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="model_type: 'clip'; expected 'dinov2'"):
        resolve(Objective(distance="dino", distance_path=str(folders["clip"]), w_vgg=0), Variant.mpc)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (
            lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-9]),
            "half-down",
        ),
        (lambda f: (f / "model.safetensors").write_text("version https://git-lfs"), "Git LFS pointer"),
        (lambda f: (f / "model.safetensors").unlink(), "neither model.safetensors nor pytorch_model.bin"),
        (lambda f: (f / "config.json").unlink(), "config.json is missing"),
        (lambda f: (f / "config.json").write_text("{"), "model_type: None"),
        (
            lambda f: (
                (f / "model.safetensors").rename(f / "a.safetensors")
                and (f / "model.safetensors.index.json").write_text(
                    json.dumps({"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}})
                )
            ),
            "b.safetensors is missing",
        ),
    ],
    ids=["cut", "pointer", "no weights", "no config", "no JSON", "a shard"],
)
def test_a_damaged_folder_is_refused(
    damage: object, reason: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(folders["dino"], tmp_path / "dino"))
    assert callable(damage)
    damage(folder)
    with pytest.raises(ConfigError, match=reason):
        resolve(Objective(distance="dino", distance_path=str(folder), w_vgg=0), Variant.mpc)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no tensors at all", "is not a safetensors file"),
        (
            {"features.0.bias": (3,)},
            r"lacks the tensors features.0.weight, features.0.bias, features.2.weight, …",
        ),
    ],
    ids=["pickle", "another network"],
)
def test_wrong_vgg_weights_are_refused(tmp_path: Path, content: object, reason: str) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, dict):
        save_file({name: torch.zeros(shape) for name, shape in content.items()}, path)
    with pytest.raises(ConfigError, match=reason):
        resolve(Objective(distance="toy", vgg_path=str(path)), Variant.mpc)
    with pytest.raises(ConfigError, match=reason):
        load_distance("vgg", Objective(vgg_path=str(path)), torch.device("cpu"))


def test_dreamsim_without_its_package_names_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dreamsim", None)
    objective = Objective(distance="dreamsim", distance_path=str(tmp_path), w_vgg=0)
    with pytest.raises(
        ConfigError, match=r": dino_vitb16_pretrain.pth, .* are missing.*pip install 'scoft-hpc\[perc"
    ):
        resolve(objective, Variant.mpc)
    for name in (*catalogue.DREAMSIM_FILES, catalogue.DREAMSIM_ADAPTERS[0]):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for attempt in (resolve, lambda o, _v: load_distance("dreamsim", o, torch.device("cpu"))):
        with pytest.raises(
            ConfigError, match=r"cannot be (loaded|used).*pip install 'scoft-hpc\[perceptual\]'"
        ):
            attempt(objective, Variant.mpc)


def test_planning_loads_no_torch() -> None:
    code = "import sys, scoft_hpc.inputs.checkpoints.distances; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
