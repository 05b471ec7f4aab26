"""What the frozen networks make of a culture, made once and shared by every run of every study.

A cache is a folder named after all that it depends on, so it is never used for other data or another model; it is
made under a temporary name and renamed, so it is whole or not there. It holds the VAE's *moments* of both flips, not
one sample of them (caching a sample would change the distribution), and the text states, so that the training loop
encodes nothing.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from scoft_hpc.config.schema import NegativeSource, RunConfig
from scoft_hpc.data import images, negatives
from scoft_hpc.data.key import folder_of
from scoft_hpc.data.manifest import Manifest
from scoft_hpc.models.base import Base
from scoft_hpc.runs import atomic
from scoft_hpc.runs.stop import Stop

TENSORS = "tensors.safetensors"


@dataclass(frozen=True)
class Culture:
    """A prepared culture of P pairs, in memory.

    Attributes:
        moments: VAE mean and standard deviation of the scaled latents, unflipped and flipped [P, 2, 2, C, h, w].
        text, generic: states of each caption and generic caption [P, T, D]; null: of the empty text [1, T, D].
        positive: pictures, uint8 [P, 3, H, W]; negative: uint8 [P, K, 3, H, W]; present: which there are [P, K].
    """

    moments: Tensor
    text: Tensor
    generic: Tensor
    null: Tensor
    positive: Tensor
    negative: Tensor
    present: Tensor

    def __len__(self) -> int:
        return len(self.positive)


def prepare(config: RunConfig, manifest: Manifest, base: Base, stop: Stop) -> Path:
    """Make the culture's cache if it is not there; return its folder.

    Raises:
        Interrupted: if `stop` was requested on the way; nothing is left of the half that was made.
    """
    folder = folder_of(config, manifest.digest)
    if folder.is_dir():
        return folder
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir(parents=True)
    try:
        tensors = _tensors(config, manifest, base, temporary, stop)
        with atomic.replacing(temporary / TENSORS) as path:
            save_file(tensors, path)
        with contextlib.suppress(OSError):  # another process was first, with the same content
            temporary.rename(folder)
        atomic.fsync_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def load(folder: Path, device: torch.device) -> Culture:
    return Culture(**load_file(folder / TENSORS, device=str(device)))


def _tensors(
    config: RunConfig, manifest: Manifest, base: Base, folder: Path, stop: Stop
) -> dict[str, Tensor]:
    size, pairs = config.model.resolution, list(manifest.pairs)
    pixels = torch.stack([images.read_pixels(pair.image, size) for pair in pairs])
    files = [list(pair.negatives) for pair in pairs]
    missing = [i for i, given in enumerate(files) if not given]
    if missing and config.data.negatives.source is not NegativeSource.given:
        drawn = negatives.draw(
            base, [pairs[i] for i in missing], config.data.negatives, size, folder / "negatives", stop
        )
        for i, paths in zip(missing, drawn, strict=True):
            files[i] = paths
    k = max(1, *map(len, files))
    negative = torch.zeros(len(pairs), k, 3, size, size, dtype=torch.uint8)
    present = torch.zeros(len(pairs), k, dtype=torch.bool)
    for i, paths in enumerate(files):
        for j, path in enumerate(paths):
            negative[i, j], present[i, j] = images.read_pixels(path, size), True
    moments = [_both_flips(base, images.from_pixels(some).to(base.device)) for some in pixels.split(8)]
    return {
        "moments": torch.cat(moments).cpu().contiguous(),
        "text": base.encode_text([pair.text for pair in pairs]).cpu().contiguous(),
        "generic": base.encode_text([pair.blip_text for pair in pairs]).cpu().contiguous(),
        "null": base.encode_text([""]).cpu().contiguous(),
        "positive": pixels,
        "negative": negative,
        "present": present,
    }


def _both_flips(base: Base, x: Tensor) -> Tensor:
    return torch.stack([base.moments(x), base.moments(x.flip(-1))], 1)
