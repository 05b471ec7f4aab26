"""Time training: the authors' loop, and ours with 1, 4, 8 and 16 lanes, side by side in one process.

    python bench/throughput.py                                                   # on a CPU: the toy model
    python bench/throughput.py --model sd14_random --precision bf16              # on a GPU: full size, random weights

A sample is one micro-step of one lane. A cycle is twenty micro-steps, after which updates of four and rollouts on every
tenth coincide. The loops take turns, a few cycles each, and the median over the rounds is reported. Images and texts
are random, since the values in a tensor do not affect the time. Writes BENCHMARKS.md.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import meta_networks
import page
import torch
from authors import Example, Loop, sharing
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from scoft_hpc.config import compose
from scoft_hpc.config.plain import to_plain
from scoft_hpc.config.schema import Precision, RunConfig
from scoft_hpc.data import images
from scoft_hpc.data.culture_cache import CachedCulture, Targets
from scoft_hpc.inputs import memory_model
from scoft_hpc.inputs.checkpoints import base_model
from scoft_hpc.models.families.stable_diffusion import StableDiffusion, load
from scoft_hpc.perceptual.toy import ToyDistance
from scoft_hpc.training.lane import Lane
from scoft_hpc.training.loop import gradients
from scoft_hpc.training.objective import LaneObjective, NamedDistance

CYCLE = 20
LANES = (1, 4, 8, 16)
PAIRS = 8
GB = 1e9

PEAKS = {
    "H100 PCIe": {"fp32": 51, "fp16": 756, "bf16": 756},
    "H100": {"fp32": 67, "fp16": 989, "bf16": 989},
    "H200": {"fp32": 67, "fp16": 989, "bf16": 989},
    "A100": {"fp32": 19.5, "fp16": 312, "bf16": 312},
    "A40": {"fp32": 37.4, "fp16": 149.7, "bf16": 149.7},
    "L40S": {"fp32": 91.6, "fp16": 362, "bf16": 362},
    "V100": {"fp32": 15.7, "fp16": 125, "bf16": 15.7},
}
"""TFLOP/s of dense products by a word in the GPU's name, from the makers' data sheets; fp32 without TF32."""


@dataclass
class Contender:
    """A loop.

    Attributes:
        cycle: does twenty micro-steps of each lane.
        flops: of one sample.
        held: bytes of its own adapters and moments.
        seconds, cpu_seconds: of a cycle in each round: the clock's, and the processor's.
    """

    name: str
    lanes: int
    rows: int | None
    cycle: Callable[[], None]
    held: Callable[[], int]
    flops: float = 0.0
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    peak: float = 0.0

    @property
    def rate(self) -> float:
        """Samples a second."""
        return CYCLE * self.lanes / statistics.median(self.seconds)


def contenders(config: RunConfig, device: torch.device) -> tuple[list[Contender], int]:
    """The loops on one frozen base, and the bytes that they share."""
    base = load(replace(config.model, path=base_model.resolve(config.model).path), device)
    s = NamedDistance("toy", ToyDistance().to(device))
    vgg = NamedDistance("vgg", meta_networks.vgg().to(device)) if config.objective.w_vgg else None
    culture, examples = material(base, s, config.model.resolution)
    theirs = Loop(replace(base, unet=sharing(base.unet)), config, examples, s.distance, vgg and vgg.distance)
    ours = [_ours(replace(base, unet=sharing(base.unet)), config, lanes, culture, s, vgg) for lanes in LANES]
    found = [_theirs(theirs), *ours]
    for one in found[:2]:
        one.flops = _flops(one.cycle, device) / CYCLE
    for one in found[2:]:
        one.flops = found[1].flops
    networks = (base.vae, base.unet, base.text_encoder, s.distance, *([vgg.distance] if vgg else []))
    shared = [p for network in networks for p in network.parameters()]
    shared += [value for value in vars(culture).values() if isinstance(value, torch.Tensor)]
    shared += [t for one in (culture.text, culture.generic, culture.null) for t in one.tensors.values()]
    return found, sum(tensor.nbytes for tensor in shared)


def material(base: StableDiffusion, s: NamedDistance, size: int) -> tuple[CachedCulture, list[Example]]:
    """A prepared culture, and the same pictures and texts as the authors' loop takes them."""
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (2, PAIRS, 3, size, size), generator=rng, dtype=torch.uint8).to(
        base.device
    )
    positive, negative = (images.from_pixels(some) for some in pixels)
    texts = [f"picture {n}" for n in range(PAIRS)]
    with torch.no_grad():
        flips = [
            torch.cat([base.encode_images(x) for x in some.split(1)])
            for some in (positive, positive.flip(-1))
        ]
        kept = [
            torch.stack([s.distance.target(x), s.distance.target(x.flip(-1))], 1)
            for x in (positive, negative)
        ]
    culture = CachedCulture(
        moments=torch.stack(flips, 1),
        text=base.encode_text(texts),
        generic=base.encode_text(texts),
        null=base.encode_text([""]),
        positive=pixels[0],
        negative=pixels[1][:, None],
        negative_mask=torch.ones(PAIRS, 1, dtype=torch.bool, device=base.device),
        distance_targets={s.name: Targets(kept[0], kept[1][:, :, None])},
    )
    examples = [
        Example(positive[n : n + 1], (negative[n : n + 1],), text, text) for n, text in enumerate(texts)
    ]
    return culture, examples


def _theirs(loop: Loop) -> Contender:
    def cycle() -> None:
        for _ in range(CYCLE):
            loop.micro_step()

    return Contender("the authors' loop", 1, None, cycle, lambda: _bytes(loop.trained, [loop.optimizer]))


def _ours(
    base: StableDiffusion,
    config: RunConfig,
    lanes: int,
    culture: CachedCulture,
    s: NamedDistance,
    vgg: NamedDistance | None,
) -> Contender:
    stack = base.adapt(lanes, config.lora)
    own = [replace(config, seed=seed) for seed in range(lanes)]
    pack = [
        Lane(c, LaneObjective(i, c.variant, c.objective, s, vgg), culture, stack) for i, c in enumerate(own)
    ]
    rows = (
        memory_model.rows_per_pass(config, lanes, _gigabytes(base.device))
        if base.device.type == "cuda"
        else None
    )

    def cycle() -> None:
        for _ in range(CYCLE // config.train.batch):
            gradients(base, pack, rows)
            for lane in pack:
                lane.update()

    name = "ours, solo" if lanes == 1 else f"ours, {lanes} lanes"
    held = lambda: _bytes([stack.weights, stack.gradients], [lane.optimizer for lane in pack])  # noqa: E731
    return Contender(name, lanes, rows, cycle, held)


def run(config: RunConfig, device: torch.device, rounds: int, cycles: int) -> dict[str, Any]:
    """Time the loops in turn."""
    found, shared = contenders(config, device)
    for one in found:
        one.cycle()
    for _ in range(rounds):
        for one in found:
            before = _reset(device)
            started, cpu = time.perf_counter(), time.process_time()
            for _ in range(cycles):
                one.cycle()
            _wait(device)
            one.seconds.append((time.perf_counter() - started) / cycles)
            one.cpu_seconds.append((time.process_time() - cpu) / cycles)
            one.peak = max(one.peak, _peak(device, before, shared + one.held()))
            print(f"{one.name:20}{CYCLE * one.lanes / one.seconds[-1]:10.2f} samples/s", flush=True)
    peak = _tflops(device, config.model.precision)
    rows = [
        {
            "name": one.name,
            "rows": one.rows,
            "rate": one.rate,
            "cpu_rate": CYCLE * one.lanes / statistics.median(one.cpu_seconds),
            "slowest": CYCLE * one.lanes / max(one.seconds),
            "fastest": CYCLE * one.lanes / min(one.seconds),
            "peak_gb": one.peak,
            "tflops": one.rate * one.flops / 1e12,
            "share": one.rate * one.flops / 1e12 / peak if peak else None,
        }
        for one in found
    ]
    settings = {"rounds": rounds, "cycles": cycles, "threads": torch.get_num_threads(), "peak_tflops": peak}
    return {"model": to_plain(config.model), **settings, "loops": rows}


def _bytes(tensors: Iterable[torch.Tensor], optimizers: Iterable[torch.optim.Optimizer]) -> int:
    moments = [v for o in optimizers for state in o.state.values() for v in state.values()]
    return sum(t.nbytes for t in (*tensors, *moments) if isinstance(t, torch.Tensor))


def _flops(work: Callable[[], None], device: torch.device) -> int:
    """On a CPU, whose fused attention the counter does not know, attention is taken as matrix products; at full size
    these would not fit a GPU.
    """
    plain = contextlib.nullcontext() if device.type == "cuda" else sdpa_kernel(SDPBackend.MATH)
    with plain, FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _reset(device: torch.device) -> int:
    """Start to watch the memory; return the bytes in use."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM counts anew
    return 0


def _peak(device: torch.device, before: int, own: int) -> float:
    """GB: on a GPU of the loop alone, as if the others were not there; on a CPU of the process."""
    if device.type == "cuda":
        return (torch.cuda.max_memory_allocated() - before + own) / GB
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / GB


def _gigabytes(device: torch.device) -> float:
    return torch.cuda.get_device_properties(device).total_memory / GB


def _tflops(device: torch.device, precision: Precision) -> float | None:
    """What the device can do: a GPU's data sheet, or the best of a few large products on a CPU."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        return next((float(by[precision.name]) for word, by in PEAKS.items() if word in name), None)
    a, times = torch.randn(2048, 2048), []
    for _ in range(8):
        started = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - started)
    return 2 * 2048**3 / min(times) / 1e12


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--model", default="toy")
    parser.add_argument("--precision", default=None, help="of the frozen networks; default: the model's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cycles", type=int, default=2, help="of each loop in a round")
    asked = parser.parse_args()
    chosen = asked.device if asked.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    words = [f"model={asked.model}", "objective.distance=toy", "train.steps=100000"]
    words += [f"model.precision={asked.precision}"] if asked.precision else []
    config, device = compose.compose("train", words), torch.device(chosen)
    page.record(f"throughput-{device.type}", **run(config, device, asked.rounds, asked.cycles))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
