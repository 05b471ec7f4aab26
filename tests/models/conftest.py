"""Small models of the real classes with random weights, as folders and files that a download would leave."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from scoft_hpc.config.schema import Architecture, Model
from scoft_hpc.models import architecture, random, weights
from scoft_hpc.models.parts import Parts

SHRINK = 100


@pytest.fixture(autouse=True)
def own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty caches of the test's own, and no way to a network."""

    def refused(*_: object) -> NoReturn:
        raise AssertionError("a test reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def small() -> Parts:
    """Stable Diffusion 1.x with all its layers, 32 to 64 wide."""
    return random.build(Architecture.sd1, SHRINK, torch.float32)


@pytest.fixture(scope="session")
def saved(small: Parts, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a folder in diffusers' layout, with the tokenizer's files as the public repositories have them."""
    folder = tmp_path_factory.mktemp("small") / "sd"
    folder.mkdir()
    architecture.write(Architecture.sd1, SHRINK, folder)
    small.vae.save_pretrained(folder / "vae")
    small.unet.save_pretrained(folder / "unet")
    small.text_encoder.save_pretrained(folder / "text_encoder")
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "vocab.json").write_text(json.dumps(small.tokenizer.get_vocab()))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    words = {"tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "pad_token": "<|endoftext|>"}
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(words))
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A copy of the base that ships."""
    return Path(shutil.copytree(weights.resolve(Model()).path, tmp_path / "base"))
