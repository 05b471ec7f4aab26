"""The memory formula (`scoft_hpc.config.memory`) beside a count on the real networks, and beside a real process.

    python bench/memory.py

Counted: Stable Diffusion 1.4 at full size on fake tensors, which have a size and no content; every storage is followed
from its making to its end. Measured: the most memory that a process held in training steps of a shrunk model, on a CPU.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import hollow
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scoft_hpc.config import memory
from scoft_hpc.config.schema import Architecture, Lora, Model, Objective, Precision, RunConfig, Train, Variant
from scoft_hpc.models.base import DTYPES, Base, load_base
from scoft_hpc.models.lora import LoraStack
from scoft_hpc.training.lane import Lane
from scoft_hpc.training.loop import gradients
from scoft_hpc.training.step import LaneTerms, Network

GB = 1e9


@dataclass(frozen=True)
class Row:
    """GB by the formula, and as found by another way."""

    name: str
    formula: float
    found: float

    @property
    def off(self) -> float:
        """How far the formula is off, as a share of what was found."""
        return self.formula / self.found - 1


class Live(TorchDispatchMode):
    """Bytes of the storages that live, and the most that did at a time; those of `networks` are left out."""

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.now = self.most = 0
        tensors = [t for network in networks for t in (*network.parameters(), *network.buffers())]
        self._kept = [tensor.untyped_storage() for tensor in tensors]
        self._seen: dict[int, object] = {id(storage): storage for storage in self._kept}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(out):
            if isinstance(leaf, Tensor):
                self._follow(leaf.untyped_storage())
        return out

    def _follow(self, storage: torch.UntypedStorage) -> None:
        known, size = id(storage), storage.nbytes()
        if known in self._seen:
            return

        def end(_: object) -> None:
            del self._seen[known]
            self.now -= size

        self._seen[known] = weakref.ref(storage, end)
        self.now += size
        self.most = max(self.most, self.now)


def counted(config: RunConfig, lanes: int, rows: int) -> float:
    """GB of `memory.tensors`, without a distance's: networks, adapters, the rows' activations and one picture's.

    The two kinds of activations live together: a picture is decoded while its row waits for the gradient.
    """
    dtype, latent = DTYPES[config.model.precision], config.model.resolution // 8
    with FakeTensorMode(), _made_in(dtype):
        vae, unet, text_encoder = hollow.networks(config.model.architecture)
    networks = vae, unet, text_encoder
    frozen = sum(p.nbytes for network in networks for p in network.parameters())
    with FakeTensorMode(allow_non_fake_inputs=True):
        stack = LoraStack(unet, lanes, config.lora.rank, None, config.lora.targets)
        base = Base(vae, unet, text_encoder, None, None, None, torch.device("cpu"), dtype, stack)
        lane, text = torch.arange(rows) % lanes, torch.empty(rows, 77, unet.config.cross_attention_dim)
        z_t, z_0 = torch.empty(rows, 4, latent, latent), torch.empty(1, 4, latent, latent, requires_grad=True)
        row = _backward(lambda: base.predict(z_t, lane + 1, text, lane), networks)
        picture = _backward(lambda: base.decode(z_0), networks)
    return (frozen + memory.ADAPTED * stack.weights.nbytes + row + picture) / GB


@contextlib.contextmanager
def _made_in(dtype: torch.dtype) -> Iterator[None]:
    """New networks have this type."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _backward(call: Callable[[], Tensor], networks: Iterable[nn.Module]) -> int:
    """The most bytes that live in a call and its way back."""
    with Live(networks) as live:
        call().sum().backward()
    return live.most
