"""Tiny random networks of the real classes, in folders as a download would leave them."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import NoReturn

import pytest
import torch
from safetensors.torch import save_file
from transformers import (
    Blip2Config,
    Blip2ForImageTextRetrieval,
    CLIPConfig,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
)

from reference import vgg

TRANSFORMER = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def save(root: Path) -> dict[str, Path]:
    """Each network's folder, or file: vgg's is a whole VGG16 (its convolutions are 59 MB), the others are tiny."""
    torch.manual_seed(0)
    _random(Dinov2Model(Dinov2Config(**TRANSFORMER, image_size=518, patch_size=14))).save_pretrained(
        root / "dino"
    )
    text = {**TRANSFORMER, "vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1}
    clip = CLIPConfig(text_config=text, vision_config=TRANSFORMER | {"patch_size": 32}, projection_dim=16)
    _random(CLIPModel(clip)).save_pretrained(root / "clip")
    blip2 = Blip2Config(
        vision_config=TRANSFORMER | {"patch_size": 14},
        qformer_config=TRANSFORMER
        | {"vocab_size": 50, "encoder_hidden_size": 32, "use_qformer_text_input": True},
        text_config={"model_type": "opt", "hidden_size": 16, "num_hidden_layers": 1, "vocab_size": 50},
        num_query_tokens=5,
        image_text_hidden_size=16,
    )
    _random(Blip2ForImageTextRetrieval(blip2)).save_pretrained(root / "blip2")
    state = {f"features.{name}": value for name, value in vgg.features().state_dict().items()}
    save_file({**state, "classifier.0.bias": torch.zeros(3)}, root / "vgg16.safetensors")
    return {"vgg": root / "vgg16.safetensors"} | {name: root / name for name in ("dino", "clip", "blip2")}


def _random(network: torch.nn.Module) -> torch.nn.Module:
    """Weights large enough that what comes out depends on the image: those of initialization nearly cancel it."""
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.3)
    return network


def refuse_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every attempt to open a connection a failure of the test."""

    def refuse(*args: object) -> NoReturn:
        raise AssertionError(f"something reached for a network: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
