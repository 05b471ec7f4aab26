"""What a training step costs at the size of Stable Diffusion 1.4, 512 px, rank 64: counted, on any machine.

    python bench/flops.py

The real training code runs on meta tensors, which have no content (`meta_networks.py`); the authors' loop is the
reimplementation in `authors.py`. A cycle is ten micro-steps, one of which has a rollout. FLOPs are of convolutions and
matrix products.

Writes BENCHMARKS.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import meta_networks
import page
import torch
from authors import Example, Loop
from diffusers import ControlNetModel
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from scoft_hpc.config.schema import Architecture, RunConfig
from scoft_hpc.inputs.model_costs import COSTS
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.perceptual.toy import ToyDistance
from scoft_hpc.training.loop import gradients

MICRO_STEPS = 20
"""Of a lane: the least after which updates of four rows and rollouts of every tenth come round together."""
CYCLES = 2
TITLES = {
    "denoiser": "U-Net",
    "denoiser_lora": "U-Net with LoRA",
    "denoiser_backward": "its backward pass to the LoRA",
    "encode": "VAE encoder",
    "decode": "VAE decoder",
    "decode_backward": "its backward pass",
    "text": "text encoder",
    "controlnet": "depth ControlNet",
}
"""What the fields of `ModelCosts` that are counted here are called on the page."""


@dataclass(frozen=True)
class Cost:
    """What a loop does.

    Attributes:
        tflop: of a lane, for a cycle of ten micro-steps.
        calls: of the U-Net, for twenty micro-steps of all lanes.
        vae_encodes, text_encodes: of a lane, for a cycle.
        loads: modules built, for twenty micro-steps; None: not counted.
    """

    name: str
    tflop: float
    calls: int
    vae_encodes: int
    text_encodes: int
    loads: int | None = None


def ours(lanes: int) -> Cost:
    """The training loop's updates of so many lanes."""
    base = meta_networks.base()
    pack = meta_networks.lanes(base, lanes)
    with FlopCounterMode(display=False) as counter, _built() as loads:
        for _ in range(MICRO_STEPS // pack[0].config.train.batch):
            gradients(base, pack)
            for lane in pack:
                lane.step += 1
    flops = counter.get_total_flops() + base.repeated
    name = f"ours, {lanes} lanes packed" if lanes > 1 else "ours, solo"
    return Cost(
        name,
        flops / 1e12 / CYCLES / lanes,
        base.calls,
        base.vae_encodes // CYCLES,
        base.text_encodes // CYCLES,
        len(loads),
    )


def theirs() -> Cost:
    """The authors' loop: one micro-step with a rollout, and one without that stands for nine."""
    base = meta_networks.base()
    picture = torch.empty(1, 3, meta_networks.SIZE, meta_networks.SIZE, device=meta_networks.META)
    example = Example(picture, (picture,), "a caption", "a generic caption")
    loop = Loop(
        base,
        RunConfig(),
        [example],
        ToyDistance().to(meta_networks.META),
        meta_networks.vgg().to(meta_networks.META),
    )
    calls = []
    loop.unet.register_forward_hook(lambda *_: calls.append(1))

    def micro_step() -> tuple[int, ...]:
        before = len(calls), base.vae_encodes, base.text_encodes
        with FlopCounterMode(display=False) as counter:
            loop.micro_step()
        after = len(calls), base.vae_encodes, base.text_encodes
        return counter.get_total_flops(), *(b - a for a, b in zip(before, after, strict=True))

    flops, unet, vae, text = (a + 9 * b for a, b in zip(micro_step(), micro_step(), strict=True))
    return Cost("the authors'", flops / 1e12, unet * CYCLES, vae, text)


def networks(architecture: Architecture = Architecture.sd1) -> dict[str, float]:
    """GFLOP of one pass of each network over one row at the native resolution, named as in `ModelCosts`."""
    base, costs = meta_networks.base(architecture), COSTS[architecture]
    size, side = costs.resolution, costs.resolution // costs.downscale
    latent = torch.empty(1, costs.latent_channels, side, side, device=meta_networks.META)
    picture = torch.empty(1, 3, size, size, device=meta_networks.META)
    states = torch.empty(1, 77, costs.text_elements // 77, device=meta_networks.META)
    t, text = torch.ones(1, dtype=torch.long), Conditioning({"states": states})
    plain = super(meta_networks.HollowBase, base)
    control = ControlNetModel.from_unet(base.unet, load_weights_from_unet=False).to(meta_networks.META)
    with torch.no_grad():
        cost = {"denoiser": _gflop(lambda: plain.predict(latent, t, text))}
        cost["controlnet"] = _gflop(
            lambda: control(latent, t.to(meta_networks.META), states, picture, return_dict=False)
        )
    base.adapt(1, RunConfig().lora)
    lane = torch.zeros(1, dtype=torch.long)
    out: list[torch.Tensor] = []
    cost["denoiser_lora"] = _gflop(lambda: out.append(plain.predict(latent, t, text, lane)))
    cost["denoiser_backward"] = _gflop(lambda: out[0].sum().backward())
    cost["encode"] = _gflop(lambda: plain.encode_images(picture))
    z = latent.clone().requires_grad_()
    cost["decode"] = _gflop(lambda: out.append(plain.decode(z)))
    cost["decode_backward"] = _gflop(lambda: out[1].sum().backward())
    cost["text"] = _gflop(lambda: plain.encode_text(["a caption"]))
    return cost


def kernels(lanes: int, rows: int = 4) -> int:
    """Operations that a packed forward pass of the U-Net dispatches, `rows` rows a lane."""
    base = meta_networks.base()
    base.adapt(lanes, RunConfig().lora)
    lane = torch.arange(lanes).repeat_interleave(rows)
    with _Dispatched() as seen:
        base.predict(
            torch.zeros(len(lane), 4, 64, 64),
            torch.ones_like(lane),
            Conditioning({"states": torch.zeros(len(lane), 77, 768)}),
            lane,
        )
    return seen.count


class _Dispatched(TorchDispatchMode):
    """Counts operations."""

    count = 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return function(*args, **(kwargs or {}))


@contextlib.contextmanager
def _built() -> Iterator[list[str]]:
    """The classes of the modules that are made within the block; slices of a list of them are no modules."""
    made: list[str] = []
    init = nn.Module.__init__

    def noted(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        if not isinstance(self, nn.ModuleList):
            made.append(type(self).__name__)
        init(self, *args, **kwargs)

    nn.Module.__init__ = noted  # type: ignore[method-assign]
    try:
        yield made
    finally:
        nn.Module.__init__ = init  # type: ignore[method-assign]


def _gflop(work: Callable[[], object]) -> float:
    with FlopCounterMode(display=False) as counter:
        work()
    return float(counter.get_total_flops() / 1e9)


def main() -> int:
    passes = {architecture.name: networks(architecture) for architecture in Architecture}
    found = [theirs(), ours(1), ours(4)]
    dispatched = {lanes: kernels(lanes) for lanes in (1, 4, 16)}
    print(f"{'GFLOP of one pass over one row':34}{''.join(f'{name:>10}' for name in passes)}")
    for field, title in TITLES.items():
        print(f"  {title:32}{''.join(f'{costs[field]:10.0f}' for costs in passes.values())}")
    print("\na cycle of ten micro-steps             TFLOP  VAE encodes  text encodes  U-Net calls in twenty")
    for cost in found:
        print(f"  {cost.name:32}{cost.tflop:10.1f}{cost.vae_encodes:13}{cost.text_encodes:14}{cost.calls:23}")
    told = ", ".join(f"{count} with {lanes}" for lanes, count in dispatched.items())
    print(f"\noperations of a forward pass by lanes: {told}")
    page.record(
        "flops", titles=TITLES, networks=passes, loops=[asdict(cost) for cost in found], kernels=dispatched
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
