"""The stacked LoRA: all lanes of a pack in one layer, y = W x + (alpha / r) B[lane] A[lane] x.

A is [L, r, in] and B is [L, out, r]; every row of a batch names its lane, so one batched product serves all lanes and
the number of kernels does not grow with them. Hu et al. 2021, eq. 3, L times.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from scoft_hpc.config.schema import Lora
from scoft_hpc.errors import ConfigError
from scoft_hpc.models import lora_file
from scoft_hpc.models.lora_file import AdapterFormat


class RowLanes:
    """Which lane each row of the running forward pass belongs to; None: the base model alone."""

    lane: Tensor | None = None


class StackedLora(nn.Module):
    """A frozen linear layer with one adapter a lane; A and B are views into the stack's own tensors."""

    def __init__(
        self, linear: nn.Linear, A: nn.Parameter, B: nn.Parameter, scale: float, rows: RowLanes
    ) -> None:
        super().__init__()
        self.linear, self.A, self.B, self.scale, self.rows = linear, A, B, scale, rows

    def forward(self, x: Tensor) -> Tensor:
        """x [N, n, in] -> [N, n, out]."""
        y: Tensor = self.linear(x)
        lane = self.rows.lane
        if lane is None:
            return y
        down = torch.bmm(x, self.A[lane].mT.to(x.dtype))
        return torch.baddbmm(y, down, self.B[lane].mT.to(x.dtype), alpha=self.scale)


class LoraStack:
    """The adapters of a pack, put into linear layers of the denoiser.

    All adapters' numbers lie in one tensor, a row a lane, and so do their gradients: a lane is clipped, stepped and
    set to zero as one vector, however many layers it has.

    Args:
        network: the frozen denoiser; its targeted linear layers are replaced in place.
        lanes: how many lanes L.
        lora: rank, alpha and `targets`, ends of layer names such as `to_q` or `to_out.0`.
        files: how the family's adapter files are written.
        usual: the family's usual targets, for the message.

    Attributes:
        weights, gradients: [L, P] in fp32, with P the parameters of one lane.

    Raises:
        ConfigError: if no layer has such a name.
    """

    def __init__(
        self, network: nn.Module, lanes: int, lora: Lora, files: AdapterFormat, usual: Sequence[str]
    ) -> None:
        rank, targets = lora.rank, lora.targets
        self.rank, self.alpha, self.targets = rank, float(rank if lora.alpha is None else lora.alpha), targets
        self.files = files
        self._rows = RowLanes()
        ends = tuple(f".{target}" for target in targets)
        targeted = [
            (n, m) for n, m in network.named_modules() if isinstance(m, nn.Linear) and n.endswith(ends)
        ]
        if not targeted:
            raise ConfigError(
                f"lora.targets={list(targets)} match no linear layer of the denoiser; try [{','.join(usual)}]."
            )
        size = sum(rank * (linear.in_features + linear.out_features) for _, linear in targeted)
        where = targeted[0][1].weight.device
        self.weights = torch.zeros(lanes, size, device=where)
        self.gradients = torch.zeros(lanes, size, device=where)
        self.layers: dict[str, StackedLora] = {}
        self._places: dict[str, tuple[slice, tuple[int, int]]] = {}
        at = 0
        for name, linear in targeted:
            pair = []
            for letter, shape in (("A", (rank, linear.in_features)), ("B", (linear.out_features, rank))):
                place = slice(at, at := at + shape[0] * shape[1])
                self._places[f"{name}.lora_{letter}.weight"] = place, shape
                stacked = nn.Parameter(self.weights[:, place].unflatten(1, shape))
                stacked.grad = self.gradients[:, place].unflatten(1, shape)
                pair.append(stacked)
            layer = StackedLora(linear, pair[0], pair[1], self.alpha / rank, self._rows)
            parent, _, child = name.rpartition(".")
            setattr(network.get_submodule(parent), child, layer)
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
        for name, part in self.parameters(lane).items():
            if name.endswith("lora_A.weight"):
                part.copy_(torch.randn(part.shape, generator=generator) / self.rank)
            else:
                part.zero_()

    def parameters(self, lane: int) -> dict[str, Tensor]:
        """The lane's matrices by name, as views into `weights`."""
        return self.named(self.weights[lane])

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """One lane's vector [P], of weights or of anything kept for each, as matrices by name."""
        return {name: vector[place].view(shape) for name, (place, shape) in self._places.items()}

    def zero_grad(self) -> None:
        self.gradients.zero_()

    @staticmethod
    @contextlib.contextmanager
    def collecting() -> Iterator[None]:
        """For a backward pass: torch would warn that gradients lie in rows of one tensor, which is what we want."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "grad and param do not obey the gradient layout contract")
            yield

    def export(self, lane: int, path: Path) -> None:
        """Write the lane's adapter as `load_lora_weights` of the family's pipeline in diffusers reads it."""
        lora_file.write(path, self.parameters(lane), self.rank, self.alpha, self.targets, self.files)

    def export_kohya(self, lane: int, path: Path, name: str) -> None:
        """Write the lane's adapter, under a name for people, as ComfyUI and the A1111 web UI read it."""
        lora_file.write_kohya(path, self.parameters(lane), self.rank, self.alpha, name, self.files)
