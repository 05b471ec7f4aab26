"""The stacked LoRA: all lanes of a pack in one layer, y = W x + (alpha / r) B[lane] A[lane] x.

A is [L, r, in] and B is [L, out, r]; every row of a batch names its lane, so one batched product serves all lanes and
the number of kernels does not grow with them. Hu et al. 2021, eq. 3, L times.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from scoft_hpc.errors import ConfigError
from scoft_hpc.runs import atomic


class Rows:
    """Which lane each row of the running forward pass belongs to; None: the base model alone."""

    lane: Tensor | None = None


class StackedLora(nn.Module):
    """A frozen linear layer with one adapter a lane."""

    def __init__(self, linear: nn.Linear, lanes: int, rank: int, scale: float, rows: Rows) -> None:
        super().__init__()
        self.linear, self.scale, self.rows = linear, scale, rows
        where = linear.weight.device
        self.A = nn.Parameter(torch.zeros(lanes, rank, linear.in_features, device=where))
        self.B = nn.Parameter(torch.zeros(lanes, linear.out_features, rank, device=where))

    def forward(self, x: Tensor) -> Tensor:
        """x [N, n, in] -> [N, n, out]."""
        y: Tensor = self.linear(x)
        lane = self.rows.lane
        if lane is None:
            return y
        down = torch.bmm(x, self.A[lane].mT.to(x.dtype))
        return torch.baddbmm(y, down, self.B[lane].mT.to(x.dtype), alpha=self.scale)


class LoraStack:
    """The adapters of a pack, put into a U-Net's attention layers.

    Args:
        unet: the frozen network; its targeted linear layers are replaced in place.
        lanes: how many lanes L.
        targets: ends of layer names, such as `to_q` or `to_out.0`.

    Raises:
        ConfigError: if no layer has such a name.
    """

    def __init__(
        self, unet: nn.Module, lanes: int, rank: int, alpha: float | None, targets: Sequence[str]
    ) -> None:
        self.rank, self.alpha, self.targets, self._rows = (
            rank,
            float(rank if alpha is None else alpha),
            targets,
            Rows(),
        )
        ends = tuple(f".{target}" for target in targets)
        found = [(n, m) for n, m in unet.named_modules() if isinstance(m, nn.Linear) and n.endswith(ends)]
        if not found:
            raise ConfigError(
                f"lora.targets={list(targets)} match no linear layer of the U-Net; try [to_q,to_k,to_v,to_out.0]."
            )
        self.layers: dict[str, StackedLora] = {}
        for name, linear in found:
            layer = StackedLora(linear, lanes, rank, self.alpha / rank, self._rows)
            parent, _, child = name.rpartition(".")
            setattr(unet.get_submodule(parent), child, layer)
            self.layers[name] = layer

    @contextlib.contextmanager
    def rows(self, lane: Tensor | None) -> Iterator[None]:
        """Within the block, row i of every batch runs through the adapter of lane[i] ([N], long)."""
        before, self._rows.lane = self._rows.lane, lane
        try:
            yield
        finally:
            self._rows.lane = before

    def init(self, lane: int, generator: torch.Generator) -> None:
        """A ~ N(0, 1/r^2) and B = 0, as the authors' diffusers did."""
        for layer in self.layers.values():
            a = torch.randn(layer.A.shape[1:], generator=generator) / self.rank
            layer.A.data[lane].copy_(a)
            layer.B.data[lane].zero_()

    def parameters(self, lane: int) -> dict[str, Tensor]:
        """The lane's slices by name; they share memory with the stack, and their `grad` with its gradient."""
        slices = {}
        for name, layer in self.layers.items():
            for letter, stacked in (("A", layer.A), ("B", layer.B)):
                if stacked.grad is None:
                    stacked.grad = torch.zeros_like(stacked)
                part = stacked.detach()[lane]
                part.grad = stacked.grad[lane]
                slices[f"{name}.lora_{letter}.weight"] = part
        return slices

    def zero_grad(self) -> None:
        for layer in self.layers.values():
            for stacked in (layer.A, layer.B):
                if stacked.grad is not None:
                    stacked.grad.zero_()

    def export(self, lane: int, path: Path) -> None:
        """Write the lane's adapter as `StableDiffusionPipeline.load_lora_weights` reads it.

        The adapter's metadata goes with it: without, a file whose alpha is not its rank reloads at another scale.
        """
        from diffusers import StableDiffusionPipeline

        weights = {name: part.clone().cpu() for name, part in self.parameters(lane).items()}
        metadata = {
            "r": self.rank,
            "lora_alpha": int(self.alpha) if self.alpha.is_integer() else self.alpha,
            "target_modules": list(self.targets),
            "lora_dropout": 0.0,
            "bias": "none",
        }
        with atomic.replacing(path) as temporary:
            StableDiffusionPipeline.save_lora_weights(
                temporary.parent,
                unet_lora_layers=cast(dict[str, nn.Module | Tensor], weights),
                weight_name=temporary.name,
                unet_lora_adapter_metadata=metadata,
            )
            _order_metadata(temporary)


def _order_metadata(path: Path) -> None:
    """Put the words of a safetensors file's header in order: they come in another one each time, and with them the
    file's hash. The format: the header's length in 8 bytes, the header as JSON (padded with spaces), the tensors.
    """
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    path.write_bytes(content[:8] + text.ljust(end - 8) + content[end:])
