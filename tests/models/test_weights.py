"""A base model's folder: whole, or refused with all that is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from scoft_hpc.config.schema import Model
from scoft_hpc.errors import ConfigError
from scoft_hpc.models import weights


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A copy of the base that ships."""
    return Path(shutil.copytree(weights.locate(Model()), tmp_path / "base"))


def _told(path: str | Path) -> str:
    with pytest.raises(ConfigError) as caught:
        weights.locate(Model(path=str(path)))
    return str(caught.value)


def test_the_one_that_ships_and_a_copy_of_it(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = weights.locate(Model())
    assert weights.locate(Model(path=str(base))) == base
    assert weights.digest(base) == weights.digest(shipped)
    assert len(weights.digest(base)) == 16
    monkeypatch.chdir(base.parent)
    assert weights.locate(Model(path="base")) == base
    monkeypatch.setenv("HOME", str(base.parent))
    assert weights.locate(Model(path="~/base")) == base


def test_digest_is_of_what_a_run_reads(base: Path) -> None:
    before = weights.digest(base)
    (base / "README.md").write_text("a model")
    (base / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"not read")
    (base / "safety_checker").mkdir()
    assert weights.digest(base) == before
    for name in (
        "scheduler/scheduler_config.json",
        "vae/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    ):
        path = base / name
        path.write_bytes(path.read_bytes() + b" ")
        after = weights.digest(base)
        assert after != before
        before = after


def test_missing_folder() -> None:
    text = _told("CompVis/stable-diffusion-v1-4")
    assert "`hf download CompVis/stable-diffusion-v1-4 --local-dir models/stable-diffusion-v1-4`" in text
    assert "then model.path=models/stable-diffusion-v1-4" in text
    assert "the folder /nowhere/sd does not exist" in _told("/nowhere/sd")
    assert "or the word toy" in _told("./sd")


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_missing_part(base: Path, part: str) -> None:
    shutil.rmtree(base / part)
    assert f": {part}/ is missing." in _told(base)


def _remove(name: str) -> Callable[[Path], None]:
    return lambda base: (base / name).unlink()


def _cut(base: Path) -> None:
    path = base / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


def _replace(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda base: (base / name).write_bytes(content) and None


def _only_pickle(base: Path) -> None:
    path = base / "text_encoder" / "model.safetensors"
    path.rename(path.with_name("pytorch_model.bin"))


def _only_fp16(base: Path) -> None:
    path = base / "vae" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_name("diffusion_pytorch_model.fp16.safetensors"))


def _broken_off(base: Path) -> None:
    path = base / "unet" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_name("0f3a.incomplete"))


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:12\nsize 12\n"


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (_remove("model_index.json"), "model_index.json is missing"),
        (
            _replace("model_index.json", b'{"_class_name": "FluxPipeline"}'),
            "'FluxPipeline'; expected 'StableDiff",
        ),
        (_remove("unet/config.json"), "unet/config.json is missing or is not JSON"),
        (_replace("vae/config.json", b"{"), "vae/config.json is missing or is not JSON"),
        (
            _remove("vae/diffusion_pytorch_model.safetensors"),
            "vae/diffusion_pytorch_model.safetensors is missing",
        ),
        (_replace("text_encoder/model.safetensors", b""), "model.safetensors is not a safetensors file"),
        (_replace("text_encoder/model.safetensors", b"\x80\x04" * 50), "is not a safetensors file"),
        (_replace("text_encoder/model.safetensors", b"\x02" + bytes(7) + b"[]"), "is not a safetensors file"),
        (_replace("text_encoder/model.safetensors", LFS), "is a Git LFS pointer"),
        (_cut, "half-downloaded"),
        (_only_pickle, "(pytorch_model.bin found); a pickle can run code when it is loaded and is refused"),
        (_only_fp16, "is missing (diffusion_pytorch_model.fp16.safetensors found)"),
        (_broken_off, "a download was broken off: unet/0f3a.incomplete"),
    ],
)
def test_part_that_cannot_be_used(base: Path, harm: Callable[[Path], None], told: str) -> None:
    harm(base)
    text = _told(base)
    assert told in text
    assert "hf download" in text


def test_all_at_once(base: Path) -> None:
    shutil.rmtree(base / "scheduler")
    _cut(base)
    (base / "model_index.json").unlink()
    text = _told(base)
    assert all(
        told in text for told in ("scheduler/ is missing", "half-downloaded", "model_index.json is missing")
    )


def test_tokenizer_files(base: Path) -> None:
    for path in (base / "tokenizer").iterdir():
        if path.name != "tokenizer_config.json":
            path.unlink()
    assert "tokenizer/ has neither tokenizer.json nor vocab.json with merges.txt" in _told(base)
    (base / "tokenizer" / "tokenizer.json").write_text("{}")
    assert weights.locate(Model(path=str(base))) == base


def test_download_cache(base: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    snapshot.parent.mkdir(parents=True)
    base.rename(snapshot)
    assert f"give the snapshot in it, {snapshot}" in _told(tmp_path / "models--a--b")
    assert weights.locate(Model(path=str(snapshot))) == snapshot


def test_sharded_weights(base: Path) -> None:
    unet = base / "unet"
    whole = unet / "diffusion_pytorch_model.safetensors"
    names = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for name in names:
        shutil.copy(whole, unet / name)
    whole.unlink()
    index = {"weight_map": {"a": names[0], "b": names[1], "c": names[0]}}
    (unet / f"{whole.name}.index.json").write_text(json.dumps(index))
    assert weights.locate(Model(path=str(base))) == base
    before = weights.digest(base)
    (unet / names[1]).unlink()
    assert f"unet/{names[1]} is missing" in _told(base)
    shutil.copy(unet / names[0], unet / names[1])
    assert weights.digest(base) == before


def test_index_cannot_lead_out(base: Path, tmp_path: Path) -> None:
    unet = base / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(tmp_path / "x.safetensors")
    index = {"weight_map": {"a": "../../x.safetensors"}}
    (unet / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert "unet/x.safetensors is missing" in _told(base)
