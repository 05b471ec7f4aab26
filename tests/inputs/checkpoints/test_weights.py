"""A base model's folder: whole, or refused with all that is missing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from scoft_hpc.config.schema import Architecture, Model
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import base_model


def _fault(path: str | Path, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        base_model.resolve(Model(path=str(path), **settings))
    return str(caught.value)


def _resolved(path: str | Path, **settings: Any) -> Path:
    return Path(base_model.resolve(Model(path=str(path), **settings)).path)


def _digest(path: str | Path) -> str:
    return base_model.resolve(Model(path=str(path))).digest


def test_the_one_that_ships_and_a_copy_of_it(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = base_model.resolve(Model())
    assert Path(shipped.path).is_absolute()
    assert _resolved(base) == base
    assert _digest(base) == shipped.digest
    assert len(shipped.digest) == 16
    assert base_model.resolve(shipped) == shipped
    monkeypatch.chdir(base.parent)
    assert _resolved("base") == base
    monkeypatch.setenv("HOME", str(base.parent))
    assert _resolved("~/base") == base


def test_digest_is_of_what_a_run_reads(base: Path) -> None:
    before = _digest(base)
    (base / "README.md").write_text("a model")
    (base / "unet" / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"not read")
    (base / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"not read either")
    (base / "safety_checker").mkdir()
    assert _digest(base) == before
    for name in ("scheduler/scheduler_config.json", "vae/config.json"):
        path = base / name
        path.write_bytes(path.read_bytes() + b" ")
        after = _digest(base)
        assert after != before
        before = after
    path = base / "unet" / "diffusion_pytorch_model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert _digest(base) != before


def test_missing_folder() -> None:
    assert "model.path=/nowhere/sd: /nowhere/sd does not exist" in _fault("/nowhere/sd")
    assert "Expected a file, a folder, or a hub id OWNER/NAME" in _fault("./sd")


def test_a_hub_id_that_was_not_downloaded() -> None:
    message = _fault("CompVis/stable-diffusion-v1-4", revision="main")
    assert "neither a folder here nor in the download cache" in message
    assert (
        "`hf download CompVis/stable-diffusion-v1-4 --revision main "
        '--include "*.json" --include "*.txt" --include "*/diffusion_pytorch_model.safetensors" '
        '--include "text_encoder/model.safetensors"`' in message
    )


def _in_hub_cache(base: Path, cache: Path) -> Path:
    """The folder as `hf download` leaves it: links in a snapshot to blobs by content; returns the snapshot."""
    repository = cache / "models--CompVis--stable-diffusion-v1-4"
    snapshot = repository / "snapshots" / "0123abcd"
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd")
    for number, path in enumerate(sorted(p for p in base.rglob("*") if p.is_file())):
        blob = repository / "blobs" / f"b{number}"
        path.rename(blob)
        link = snapshot / path.relative_to(base)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    return snapshot


def test_a_hub_id_is_found_in_the_cache(base: Path, tmp_path: Path) -> None:
    before = _digest(base)
    snapshot = _in_hub_cache(base, tmp_path / "hub")
    assert _resolved("CompVis/stable-diffusion-v1-4") == snapshot
    assert _digest("CompVis/stable-diffusion-v1-4") == before
    weight = snapshot / "unet" / "diffusion_pytorch_model.safetensors"
    blob = weight.resolve()
    blob.rename(blob.with_name(f"{blob.name}.5f3a.incomplete"))
    message = _fault("CompVis/stable-diffusion-v1-4")
    assert "unet/diffusion_pytorch_model.safetensors is missing" in message
    assert f"an incomplete download: {blob.name}.5f3a.incomplete" in message
    assert "`hf download CompVis/stable-diffusion-v1-4 --include" in message


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_missing_part(base: Path, part: str) -> None:
    shutil.rmtree(base / part)
    assert f": {part}/ is missing." in _fault(base)


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
    ("harm", "message"),
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
        (_broken_off, "an incomplete download: unet/0f3a.incomplete"),
    ],
)
def test_part_that_cannot_be_used(base: Path, harm: Callable[[Path], None], message: str) -> None:
    harm(base)
    text = _fault(base)
    assert message in text
    assert "hf download" in text


def test_all_at_once(base: Path) -> None:
    shutil.rmtree(base / "scheduler")
    _cut(base)
    (base / "model_index.json").unlink()
    text = _fault(base)
    assert all(
        message in text
        for message in ("scheduler/ is missing", "half-downloaded", "model_index.json is missing")
    )


def test_tokenizer_files(base: Path) -> None:
    for path in (base / "tokenizer").iterdir():
        if path.name != "tokenizer_config.json":
            path.unlink()
    assert "tokenizer/ has neither tokenizer.json nor vocab.json with merges.txt" in _fault(base)
    (base / "tokenizer" / "tokenizer.json").write_text("{}")
    assert _resolved(base) == base


def test_download_cache(base: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "models--a--b" / "snapshots" / "0123"
    snapshot.parent.mkdir(parents=True)
    base.rename(snapshot)
    assert f"give the snapshot in it, {snapshot}" in _fault(tmp_path / "models--a--b")
    assert _resolved(snapshot) == snapshot


def test_sharded_weights(base: Path) -> None:
    unet = base / "unet"
    whole = unet / "diffusion_pytorch_model.safetensors"
    names = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for name in names:
        shutil.copy(whole, unet / name)
    whole.unlink()
    index = {"weight_map": {"a": names[0], "b": names[1], "c": names[0]}}
    (unet / f"{whole.name}.index.json").write_text(json.dumps(index))
    assert _resolved(base) == base
    before = _digest(base)
    (unet / names[1]).unlink()
    assert f"unet/{names[1]} is missing" in _fault(base)
    shutil.copy(unet / names[0], unet / names[1])
    assert _digest(base) == before


def test_pickles_only_where_they_are_allowed(base: Path) -> None:
    whole = base / "unet" / "diffusion_pytorch_model.safetensors"
    pickled = whole.with_suffix(".bin")
    torch.save(load_file(whole), pickled)
    with_both = _digest(base)
    assert base_model.resolve(Model(path=str(base), pickle=True)).digest == with_both
    whole.unlink()
    assert "(diffusion_pytorch_model.bin found); a pickle can run code" in _fault(base)
    assert base_model.resolve(Model(path=str(base), pickle=True)).digest != with_both
    pickled.write_bytes(pickled.read_bytes()[:-100])
    assert "unet/diffusion_pytorch_model.bin has no end: half-downloaded" in _fault(base, pickle=True)
    pickled.write_bytes(b"hello")
    assert "is no checkpoint of torch.save" in _fault(base, pickle=True)
    pickled.write_bytes(LFS)
    assert "is a Git LFS pointer" in _fault(base, pickle=True)
    pickled.rename(pickled.with_name("unet.ckpt"))
    assert "(unet.ckpt found); as a pickle diffusion_pytorch_model.bin was expected" in _fault(
        base, pickle=True
    )


def _set(name: str, **settings: Any) -> Callable[[Path], None]:
    def change(base: Path) -> None:
        path = base / name
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))

    return change


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            _set("model_index.json", _class_name="StableDiffusionXLPipeline"),
            "'StableDiffusionXLPipeline'; expected 'StableDiffusionPipeline'",
        ),
        (
            _set("unet/config.json", cross_attention_dim=2048),
            "attends to texts 2048 wide (as Stable Diffusion XL's); the text encoder's are 96",
        ),
        (
            _set("unet/config.json", in_channels=9),
            "has 9 input channels, as models for inpainting do; the latents",
        ),
        (_set("unet/config.json", in_channels=6), "has 6 input channels; the latents have 4"),
        (
            _set("unet/config.json", _class_name="SD3Transformer2DModel"),
            "is of a SD3Transformer2DModel; expected UNet",
        ),
        (_set("vae/config.json", _class_name="AutoencoderTiny"), "vae/config.json is of a AutoencoderTiny"),
        (
            _set("text_encoder/config.json", architectures=["T5EncoderModel"]),
            "is of a T5EncoderModel; expected CLIP",
        ),
        (
            _set("scheduler/scheduler_config.json", prediction_type="sample"),
            "'sample'; expected epsilon or v_pred",
        ),
    ],
)
def test_another_architecture(base: Path, harm: Callable[[Path], None], message: str) -> None:
    harm(base)
    assert message in _fault(base)


def test_shrink_is_for_random_weights(base: Path) -> None:
    assert "model.shrink=2 is for random weights" in _fault(base, shrink=2)


def test_random_weights_are_known_by_their_recipe() -> None:
    models = [
        Model(path="random"),
        Model(path="random", shrink=10),
        Model(path="random", architecture=Architecture.sd2_base),
        Model(path="random", architecture=Architecture.sd2),
    ]
    digests = [base_model.resolve(model).digest for model in models]
    assert len(set(digests)) == 4
    assert digests == [base_model.resolve(model).digest for model in models]
    assert base_model.resolve(models[0]).path == "random"


def test_index_cannot_lead_out(base: Path, tmp_path: Path) -> None:
    unet = base / "unet"
    (unet / "diffusion_pytorch_model.safetensors").rename(tmp_path / "x.safetensors")
    index = {"weight_map": {"a": "../../x.safetensors"}}
    (unet / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert "unet/x.safetensors is missing" in _fault(base)
