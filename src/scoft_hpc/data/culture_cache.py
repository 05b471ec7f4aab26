"""The cache of a culture: the outputs of the frozen networks, made once and shared by all runs of all studies.

A cache is a folder named after everything it depends on, so it is never used for other data or another model; it is
made under a temporary name and renamed, so it is complete or absent. It holds the VAE's *moments* of both flips, not
one sample of them (caching a sample would change the distribution), the conditioning that the model makes of the texts,
and the images as pixels, so that the training loop encodes and reads nothing. Targets of feature distances join it, a
file a network.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from scoft_hpc.config.schema import NegativeSource, RunConfig
from scoft_hpc.data import images
from scoft_hpc.data.negatives.draw import draw
from scoft_hpc.errors import DataError
from scoft_hpc.inputs import memory_model
from scoft_hpc.inputs.cache_key import folder_of
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.losses.perceptual import Distance
from scoft_hpc.models.conditioning import Conditioning
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.oom_backoff import in_microbatches
from scoft_hpc.study import atomic
from scoft_hpc.study.interrupt import StopFlag

log = logging.getLogger(__name__)
TENSORS = "tensors.safetensors"
IMAGES, TEXTS = ("moments", "positive", "negative", "negative_mask"), ("text", "generic", "null")
"""What that file holds: of the images a tensor each, of the texts what the model makes of them."""
BATCH = 8
"""Images that go through a network together."""


@dataclass(frozen=True)
class Targets:
    """Targets of a distance, of images unflipped and flipped: positive [P, 2, *F] and negative [P, 2, K, *F]."""

    positive: Tensor
    negative: Tensor


@dataclass(frozen=True)
class CachedCulture:
    """A prepared culture of P pairs, in memory.

    Attributes:
        moments: VAE mean and standard deviation of the scaled latents, unflipped and flipped [P, 2, 2, C, h, w].
        text, generic: conditioning of each caption and generic caption [P]; null: of the empty text [1].
        positive: images, uint8 [P, 3, H, W]; negative: uint8 [P, K, 3, H, W]; negative_mask: bool [P, K].
        distance_targets: of compact distances, by name.
    """

    moments: Tensor
    text: Conditioning
    generic: Conditioning
    null: Conditioning
    positive: Tensor
    negative: Tensor
    negative_mask: Tensor
    distance_targets: dict[str, Targets] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.positive)

    def targets(self, name: str, pair: Tensor, flip: Tensor, negatives: bool) -> tuple[Tensor, Tensor | None]:
        """What a distance compares to, of M images: [M, *F] and, if wanted, of their negatives [M, K, *F].

        An image and its negatives are flipped together. Without cached targets of `name`: the images themselves.
        """
        if name in self.distance_targets:
            cached = self.distance_targets[name]
            return cached.positive[pair, flip], cached.negative[pair, flip] if negatives else None
        positive = _flipped(images.from_pixels(self.positive[pair]), flip)
        return positive, _flipped(images.from_pixels(self.negative[pair]), flip) if negatives else None


def prepare(config: RunConfig, manifest: Manifest, base: DiffusionModel, stop: StopFlag) -> Path:
    """Make the culture's cache if it is not there; return its folder.

    Raises:
        Interrupted: if `stop` was requested on the way; drawn negatives stay, of the rest nothing is left.
        DataError: if it cannot be written; nothing is left of it.
    """
    folder = folder_of(config, manifest.digest)
    if folder.is_dir():
        return folder
    log.info("preparing %s (%d pairs) in %s", manifest.culture, len(manifest.pairs), folder)
    _require_space(folder, memory_model.cache_gb(config, len(manifest.pairs)))
    try:
        with atomic.create_folder(folder) as temporary:
            _save(temporary / TENSORS, _tensors(config, manifest, base, temporary, stop), folder.name)
    except OSError as error:
        raise DataError(_disk_full(folder, error)) from None
    return folder


def load(folder: Path, device: torch.device) -> CachedCulture:
    """The culture that was prepared in `folder`.

    Raises:
        DataError: if it was made for another model or other data, or is damaged.
    """
    tensors = _load(folder / TENSORS, folder.name, device)
    parts: dict[str, Any] = {name: Conditioning.from_named(name, tensors) for name in TEXTS}
    return CachedCulture(**(parts | {name: tensors[name] for name in IMAGES}))


def cache_targets(
    folder: Path, culture: CachedCulture, name: str, distance: Distance, stop: StopFlag
) -> None:
    """Fill `culture.distance_targets[name]` from the cache, or from the distance, and then cache it.

    Raises:
        Interrupted: if `stop` was requested on the way; DataError: if it cannot be written.
    """
    path, owner, device = folder / f"{name}.safetensors", f"{folder.name}/{name}", culture.positive.device
    if not path.is_file():
        log.info("computing the %s features of %s", name, folder.name)
        with torch.no_grad():
            positive = _both_flips(distance.target, culture.positive, device, stop)
            negative = _both_flips(distance.target, culture.negative.flatten(0, 1), device, stop)
        negative = negative.unflatten(0, culture.negative.shape[:2]).transpose(1, 2)
        try:
            _save(path, {"positive": positive, "negative": negative.contiguous()}, owner)
        except OSError as error:
            raise DataError(_disk_full(path, error)) from None
    culture.distance_targets[name] = Targets(**_load(path, owner, device))


def _both_flips(
    of: Callable[[Tensor], Tensor], pixels: Tensor, device: torch.device, stop: StopFlag
) -> Tensor:
    """`of` images [N, 3, H, W] and of their mirror images, on the host: [N, 2, *F]."""

    def both(part: slice) -> Tensor:
        x = images.from_pixels(pixels[part].to(device))
        return torch.stack([of(x), of(x.flip(-1))], 1).cpu()

    return torch.cat(in_microbatches(both, len(pixels), BATCH, stop))


def _save(path: Path, tensors: Mapping[str, Tensor], owner: str) -> None:
    with atomic.replace(path) as temporary:
        try:
            save_file(dict(tensors), temporary, {"owner": owner})
        except SafetensorError as error:  # which contains the system's error
            raise OSError(None, str(error)) from error


def _load(path: Path, owner: str, device: torch.device) -> dict[str, Tensor]:
    """The tensors of a cache file, whose recorded owner must be `owner`."""
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            actual = (file.metadata() or {}).get("owner")
            if actual == owner:
                names = file.keys()
                return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        actual = str(error)
    raise DataError(
        f"{path} is not the cache of {owner} (found: {actual}). Remove it; the next run makes it again."
    )


def _tensors(
    config: RunConfig, manifest: Manifest, base: DiffusionModel, folder: Path, stop: StopFlag
) -> dict[str, Tensor]:
    size, pairs = config.model.resolution, list(manifest.pairs)
    pixels = torch.stack([images.read_pixels(pair.image, size) for pair in pairs])
    files = [list(pair.negatives) for pair in pairs]
    missing = [i for i, given in enumerate(files) if not given]
    if missing and config.data.negatives.source is not NegativeSource.given:
        settings, shared = config.data.negatives, folder.parent
        drawn = draw(base, [pairs[i] for i in missing], settings, config.model, shared, stop)
        for i, paths in zip(missing, drawn, strict=True):
            files[i] = paths
            _link(folder / "negatives", i, paths)
    k = max(1, *map(len, files))
    negative = torch.zeros(len(pairs), k, 3, size, size, dtype=torch.uint8)
    negative_mask = torch.zeros(len(pairs), k, dtype=torch.bool)
    for i, paths in enumerate(files):
        for j, path in enumerate(paths):
            negative[i, j], negative_mask[i, j] = images.read_pixels(path, size), True
    return {
        "moments": _both_flips(base.encode_images, pixels, base.device, stop),
        **_conditioning(base, [pair.text for pair in pairs]).named("text"),
        **_conditioning(base, [pair.blip_text for pair in pairs]).named("generic"),
        **_conditioning(base, [""]).named("null"),
        "positive": pixels,
        "negative": negative,
        "negative_mask": negative_mask,
    }


def _link(folder: Path, pair: int, paths: list[Path]) -> None:
    """Links to a pair's negatives beside the cache, where people and reports find them by the pair's number."""
    folder.mkdir(exist_ok=True)
    for k, path in enumerate(paths):
        (folder / f"{pair:05d}-{k}.png").symlink_to(Path("../..") / path.parent.name / path.name)


def _conditioning(base: DiffusionModel, texts: list[str]) -> Conditioning:
    return Conditioning.cat(
        base.encode_text(texts[at : at + BATCH]).to("cpu") for at in range(0, len(texts), BATCH)
    )


def _flipped(x: Tensor, flip: Tensor) -> Tensor:
    """Mirror the images [M, ..., H, W] whose flip [M] is 1."""
    chosen = flip.bool().to(x.device).view(-1, *[1] * (x.ndim - 1))
    return torch.where(chosen, x.flip(-1), x)


def _require_space(folder: Path, gigabytes: float) -> None:
    """Raise DataError if the disk of `folder`, which need not exist, has less room than that."""
    if (free := _free_gb(folder)) < gigabytes:
        raise DataError(
            f"{folder} takes about {gigabytes:.1f} GB, and {free:.1f} GB are free on its disk. Free some space, or "
            f"choose another folder with output=DIR."
        )


def _free_gb(path: Path) -> float:
    return shutil.disk_usage(next(p for p in path.parents if p.is_dir())).free / memory_model.GB


def _disk_full(path: Path, error: OSError) -> str:
    return (
        f"{path} cannot be written: {error.strerror or error}; {_free_gb(path):.1f} GB are free on its disk, a quota "
        f"may allow less. Free some space, or choose another folder with output=DIR; what was drawn stays."
    )
