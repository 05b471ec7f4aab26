"""Small models of the real classes with random weights, as folders and files that a download would leave."""

from __future__ import annotations

import json
import shutil
import socket
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from safetensors.torch import save_file

from scoft_hpc.config.schema import Architecture, Model
from scoft_hpc.inputs.checkpoints import architecture, base_model
from scoft_hpc.models import random_weights
from scoft_hpc.models.components import ModelComponents

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
def small() -> ModelComponents:
    """Stable Diffusion 1.x with all its layers, 32 to 64 wide."""
    return random_weights.build(Architecture.sd1, SHRINK, torch.float32)


@pytest.fixture(scope="session")
def saved(small: ModelComponents, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a folder in diffusers' layout, with the files and tensors' names of the public repositories."""
    folder = tmp_path_factory.mktemp("small") / "sd"
    folder.mkdir()
    architecture.write(Architecture.sd1, SHRINK, folder)
    vae = {_former(name): tensor for name, tensor in small.vae.state_dict().items()}
    save_file(vae, folder / "vae" / "diffusion_pytorch_model.safetensors", {"format": "pt"})
    small.unet.save_pretrained(folder / "unet")
    states = small.text_encoder.state_dict().items()
    text = {f"text_model.{name.removeprefix('text_model.')}": tensor for name, tensor in states}
    text["text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(text, folder / "text_encoder" / "model.safetensors", {"format": "pt"})
    tokenizer = folder / "tokenizer"
    tokenizer.mkdir()
    (tokenizer / "vocab.json").write_text(json.dumps(small.tokenizer.get_vocab()))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n")
    tokenizer_config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": 77,
        "pad_token": "<|endoftext|>",
    }
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    return folder


def _former(name: str) -> str:
    """The name that a tensor of a VAE's attention had when the public models were written."""
    for new, old in (
        (".to_q.", ".query."),
        (".to_k.", ".key."),
        (".to_v.", ".value."),
        (".to_out.0.", ".proj_attn."),
    ):
        name = name.replace(new, old)
    return name


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A copy of the base that ships."""
    return Path(shutil.copytree(base_model.resolve(Model()).path, tmp_path / "base"))
