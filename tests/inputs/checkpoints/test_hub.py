"""Weights on this machine: paths as they are, hub ids from a cache in huggingface_hub's layout, nothing downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import hub
from scoft_hpc.inputs.checkpoints.spec import CheckpointSpec, locate

COMMIT = "39593d5650112b4cc580433f6b0435385882d819"


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache's folder of owner/net: one snapshot at main, whose file links to a blob."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.chdir(tmp_path)
    repository = tmp_path / "hub" / "models--owner--net"
    for folder in ("refs", "blobs", f"snapshots/{COMMIT}"):
        (repository / folder).mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "blobs" / "0f3a").write_text("{}")
    (repository / "snapshots" / COMMIT / "config.json").symlink_to("../../blobs/0f3a")
    return repository


def _spec(*required: str) -> CheckpointSpec:
    return CheckpointSpec("objective.distance_path", None, include=required, required=required, weights=None)


def _error(value: str, *required: str) -> str:
    with pytest.raises(ConfigError) as caught:
        locate(_spec(*required), value)
    return str(caught.value)


def _located(value: str, revision: str | None = None) -> Path:
    return hub.locate(value, "x", hub.download_command(value, revision, []), revision)


def test_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _located("net") == _located("~/net") == tmp_path / "net"
    assert _located("net.safetensors") == tmp_path / "net.safetensors"
    assert "net.safetensors is a file; expected a folder with config.json" in _error(
        "net.safetensors", "config.json"
    )
    assert "cannot be read" in _error("~nobody-of-this-name/net")


def test_a_hub_id_is_its_snapshot(repository: Path) -> None:
    snapshot = repository / "snapshots" / COMMIT
    assert _located("owner/net") == snapshot
    assert _located("owner/net", COMMIT) == snapshot
    assert locate(_spec("config.json"), "owner/net") == snapshot
    (repository / "refs" / "pr").mkdir()
    (repository / "refs" / "pr" / "1").write_text(COMMIT)
    assert _located("owner/net", "pr/1") == snapshot
    with pytest.raises(
        ConfigError, match=r"at revision fp16 \(it has main, pr/1\).*`hf download owner/net --rev"
    ):
        _located("owner/net", "fp16")


def test_a_folder_comes_before_a_hub_id(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "owner" / "net").mkdir(parents=True)
    assert _located("owner/net") == tmp_path / "owner" / "net"


def test_the_caches_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As huggingface_hub itself finds it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert hub.cache() == tmp_path / ".cache" / "huggingface" / "hub"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert hub.cache() == Path("/xdg/huggingface/hub")
    monkeypatch.setenv("HF_HOME", "$HOME/hf")
    assert hub.cache() == tmp_path / "hf" / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", "~/elsewhere")
    assert hub.cache() == tmp_path / "elsewhere"


def test_what_is_not_there(repository: Path) -> None:
    error = _error("someone/else", "config.json", "*.safetensors")
    assert error.startswith(
        "objective.distance_path=someone/else: neither a folder here nor in the download cache"
    )
    assert '`hf download someone/else --include "config.json" --include "*.safetensors"`' in error
    assert "/nowhere/net does not exist. Expected a file, a folder, or a hub id OWNER/NAME" in _error(
        "/nowhere/net"
    )


def test_what_is_half_there(repository: Path, tmp_path: Path) -> None:
    (repository / "blobs" / "9d1e.5f.incomplete").touch()
    error = _error("owner/net", "config.json", "model.safetensors")
    assert ": model.safetensors is missing" in error
    assert "an incomplete download: 9d1e.5f.incomplete" in error
    assert '--include "model.safetensors"`' in error
    (repository / "blobs" / "0f3a").unlink()
    assert "config.json, model.safetensors are missing" in _error(
        "owner/net", "config.json", "model.safetensors"
    )
    folder = tmp_path / "net"
    folder.mkdir()
    assert f"--local-dir {folder}`" in hub.download_command(str(folder), None, [], folder)
