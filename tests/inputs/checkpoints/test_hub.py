"""Weights on this machine: paths as they are, hub ids from a cache in huggingface_hub's layout, nothing downloaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import hub

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


def _told(given: str, **kwargs: object) -> str:
    with pytest.raises(ConfigError) as caught:
        hub.find(given, "objective.distance_path", **kwargs)
    return str(caught.value)


def test_paths_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net.safetensors").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert hub.find("net", "x") == hub.find("~/net", "x") == tmp_path / "net"
    assert hub.find("net.safetensors", "x") == tmp_path / "net.safetensors"
    assert "net.safetensors is a file; expected a folder with config.json" in _told(
        "net.safetensors", needs=["config.json"]
    )
    assert "cannot be read" in _told("~nobody-of-this-name/net")


def test_a_hub_id_is_its_snapshot(repository: Path) -> None:
    snapshot = repository / "snapshots" / COMMIT
    assert hub.find("owner/net", "x") == snapshot
    assert hub.find("owner/net", "x", revision=COMMIT, needs=["config.json"]) == snapshot
    (repository / "refs" / "pr").mkdir()
    (repository / "refs" / "pr" / "1").write_text(COMMIT)
    assert hub.find("owner/net", "x", revision="pr/1") == snapshot
    told = _told("owner/net", revision="fp16")
    assert "at revision fp16 (it has main, pr/1)" in told
    assert "`hf download owner/net --revision fp16`" in told


def test_a_folder_comes_before_a_hub_id(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "owner" / "net").mkdir(parents=True)
    assert hub.find("owner/net", "x") == tmp_path / "owner" / "net"


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
    told = _told("someone/else", needs=["config.json", "*.safetensors"])
    assert told.startswith(
        "objective.distance_path=someone/else: neither a folder here nor in the download cache"
    )
    assert '`hf download someone/else --include "config.json" --include "*.safetensors"`' in told
    assert "/nowhere/net does not exist. Expected a file, a folder, or a hub id OWNER/NAME" in _told(
        "/nowhere/net"
    )


def test_what_is_half_there(repository: Path, tmp_path: Path) -> None:
    (repository / "blobs" / "9d1e.5f.incomplete").touch()
    told = _told("owner/net", needs=["config.json", "model.safetensors"])
    assert "model.safetensors is not in" in told
    assert "a download was broken off: 9d1e.5f.incomplete" in told
    assert '--include "model.safetensors"`' in told
    (repository / "blobs" / "0f3a").unlink()
    assert "config.json, model.safetensors are not in" in _told(
        "owner/net", needs=["config.json", "model.safetensors"]
    )
    folder = tmp_path / "net"
    folder.mkdir()
    assert f"--local-dir {folder}`" in _told(str(folder), needs=["config.json"])
