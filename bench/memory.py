"""Compare the memory formula (`scoft_hpc.inputs.memory_model`) with a count on the real networks and a real process.

    python bench/memory.py

Counted: Stable Diffusion 1.4 at full size on fake tensors, which have a size but no content; every storage is followed
from its allocation to its release. Measured: the peak memory of a process in training steps of a shrunk model, on a
CPU. Writes BENCHMARKS.md.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import meta_networks
import page
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from scoft_hpc.config.schema import Architecture, Model, Objective, Precision, RunConfig, Train, Variant
from scoft_hpc.diffusion.ddpm import Ddpm
from scoft_hpc.inputs import memory_model
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DTYPES
from scoft_hpc.models.families.stable_diffusion import StableDiffusion, load
from scoft_hpc.perceptual.toy import ToyDistance
from scoft_hpc.text import plural
from scoft_hpc.training.lane import Lane
from scoft_hpc.training.loop import gradients
from scoft_hpc.training.objective import LaneObjective, NamedDistance

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
    """GB of `tensors_gb`, without a distance's: networks, adapters, the rows' activations and one picture's.

    The two kinds of activations live together: a picture is decoded while its row waits for the gradient.
    """
    dtype, latent = DTYPES[config.model.precision], config.model.resolution // 8
    with FakeTensorMode():
        with _made_in(dtype):
            vae, unet, text_encoder = networks = meta_networks.networks(config.model.architecture)
        frozen = sum(p.nbytes for network in networks for p in network.parameters())
        process = Ddpm(torch.empty(0))
        base = StableDiffusion(vae, unet, text_encoder, None, None, process, torch.device("cpu"), dtype)
        stack = base.adapt(lanes, config.lora)
        lane = torch.arange(rows) % lanes
        text = Conditioning({"states": torch.empty(rows, 77, unet.config.cross_attention_dim)})
        z_t, z_0 = torch.empty(rows, 4, latent, latent), torch.empty(1, 4, latent, latent, requires_grad=True)
        row = _backward(lambda: base.predict(z_t, lane + 1, text, lane), networks)
        picture = _backward(lambda: base.decode(z_0), networks)
    return (frozen + memory_model.ADAPTER_COPIES * stack.weights.nbytes + row + picture) / GB


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


def plain(**model: Any) -> RunConfig:
    """The full method with random weights and the smallest of distances."""
    objective = Objective(distance="toy", w_vgg=0, rollout_steps=2)
    return RunConfig(
        variant=Variant.mpc, model=Model(path="random", **model), objective=objective, train=Train(steps=10)
    )


COUNTED = (
    (plain(precision=Precision.fp32), 1, 4),
    (plain(precision=Precision.bf16), 1, 4),
    (plain(precision=Precision.bf16), 1, 1),
    (plain(precision=Precision.bf16), 8, 12),
    (plain(precision=Precision.bf16, resolution=256), 4, 16),
    (plain(precision=Precision.fp16, resolution=768, architecture=Architecture.sd2), 2, 2),
)
"""Settings, lanes and rows."""
MEASURED = ((plain(resolution=256, shrink=2), 1, 4), (plain(resolution=256, shrink=2), 3, 6))


def name(config: RunConfig, lanes: int, rows: int) -> str:
    model = config.model
    words = f"{model.architecture.name}, {model.resolution} px, {model.precision.name}"
    words += f", widths / {model.shrink}" if model.shrink > 1 else ""
    return f"{words}: {plural(lanes, 'lane')}, {plural(rows, 'row')} at a time"


def count() -> Iterator[Row]:
    for config, lanes, rows in COUNTED:
        formula = memory_model.tensors_gb(config, lanes, rows)
        looking = memory_model.DISTANCES["toy"]
        formula -= memory_model.FP32 * (looking.parameters + looking.image) / GB
        yield Row(name(config, lanes, rows), formula, counted(config, lanes, rows))


def measure() -> Iterator[Row]:
    """Each in a process of its own."""
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}  # freed memory goes back to the system at once
    for index, (config, lanes, rows) in enumerate(MEASURED):
        words = [sys.executable, __file__, str(index)]
        done = subprocess.run(words, env=env, check=True, capture_output=True, text=True)
        yield Row(
            name(config, lanes, rows),
            memory_model.tensors_gb(config, lanes, rows),
            float(done.stdout.split()[-1]),
        )


def step(config: RunConfig, lanes: int, rows: int) -> float:
    """GB that this process grows by, at most, in an update with rollouts of a pack on the CPU."""
    before = _status("VmRSS")
    base = load(config.model, torch.device("cpu"))
    base.adapt(lanes, config.lora)
    s = NamedDistance("toy", ToyDistance())
    own = meta_networks.culture(base, s, config.model.resolution)
    pack = [
        Lane(replace(config, seed=i), LaneObjective(i, config.variant, config.objective, s), own, base.lora)
        for i in range(lanes)
    ]
    for _ in range(2):  # the first makes AdamW's moments
        gradients(base, pack, rows)
        for lane in pack:
            lane.update()
            lane.step = 0
    return (_status("VmHWM") - before) / GB


def _status(key: str) -> float:
    """Bytes of this process."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(key))
    return float(line.split()[1]) * 1024


def main() -> int:
    if len(sys.argv) > 1:
        print(step(*MEASURED[int(sys.argv[1])]))
        return 0
    found: dict[str, list[Any]] = {}
    for title, rows in (("counted", count()), ("measured", measure())):
        print(f"{title:>70}   formula")
        for row in rows:
            print(f"{row.name:62}{row.found:8.2f}{row.formula:10.2f} GB {row.off:+7.1%}", flush=True)
            found.setdefault(title, []).append(asdict(row))
    page.record("memory", context=memory_model.CUDA_CONTEXT_GB, margin=memory_model.MARGIN, **found)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
