"""What a model draws under: rows of tensors that only the model's family interprets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Conditioning:
    """N rows of conditioning, as `DiffusionModel.encode_text` makes them; everything else treats it as opaque.

    Attributes:
        tensors: by name, each [N, ...]; a family's rows always have the same names and shapes. For Stable Diffusion
            they are text states, for others pooled vectors or a guidance scale besides.
    """

    tensors: Mapping[str, Tensor]

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, rows: slice | Tensor | Sequence[int]) -> Conditioning:
        """These rows, in this order."""
        return Conditioning({name: tensor[rows] for name, tensor in self.tensors.items()})

    def to(self, target: torch.device | torch.dtype | str) -> Conditioning:
        """The same on a device, or in a type."""
        return Conditioning({name: tensor.to(target) for name, tensor in self.tensors.items()})

    def with_guidance(self, scale: float) -> Conditioning:
        """The same under another guidance scale, for a family whose network takes it as an input: its rows have a
        tensor `guidance` [N], which is 1 as the texts are encoded.
        """
        guidance = torch.full_like(self.tensors["guidance"], scale)
        return Conditioning({**self.tensors, "guidance": guidance})

    def expand(self, rows: int) -> Conditioning:
        """A single row as so many equal ones, without copying it."""
        return Conditioning(
            {name: tensor.expand(rows, *tensor.shape[1:]) for name, tensor in self.tensors.items()}
        )

    @staticmethod
    def cat(parts: Iterable[Conditioning]) -> Conditioning:
        """The rows of all parts, one after another."""
        parts = list(parts)
        return Conditioning(
            {name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors}
        )

    def named(self, name: str) -> dict[str, Tensor]:
        """The tensors under names for a file that holds others too."""
        return {f"{name}.{tensor_name}": tensor for tensor_name, tensor in self.tensors.items()}

    @staticmethod
    def from_named(name: str, tensors: Mapping[str, Tensor]) -> Conditioning:
        """What `named` put under `name` among other tensors."""
        start = f"{name}."
        return Conditioning(
            {key.removeprefix(start): t for key, t in tensors.items() if key.startswith(start)}
        )
