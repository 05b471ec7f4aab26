"""From run directories to a pack: the base loaded once, every run's data prepared, a lane for each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from scoft_hpc.config import compose
from scoft_hpc.config.schema import RunConfig, Variant
from scoft_hpc.data import cache, manifest, source
from scoft_hpc.data.manifest import Manifest
from scoft_hpc.errors import ConfigError, DataError
from scoft_hpc.features.registry import load_distance
from scoft_hpc.losses.total import imagines
from scoft_hpc.models import weights
from scoft_hpc.models.base import Base, load_base
from scoft_hpc.models.lora import LoraStack
from scoft_hpc.runs.layout import RunDir
from scoft_hpc.training.lane import Lane
from scoft_hpc.training.loop import Training
from scoft_hpc.training.step import LaneTerms

log = logging.getLogger(__name__)


@dataclass
class Member:
    """A run of the pack.

    Attributes:
        index: its number in the stacked LoRA (a base run's adapter stays at zero).
        training: its lane; None for a base run, which trains nothing.
    """

    run: RunDir
    config: RunConfig
    manifest: Manifest
    index: int
    training: Training | None = None


def device_of(config: RunConfig) -> torch.device:
    """`device`, where `auto` is the first GPU if there is one.

    Raises:
        ConfigError: if torch does not know or cannot use the device.
    """
    if config.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=config.device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device={config.device} cannot be used ({reason}); try auto, cpu or cuda."
        ) from None


def read_manifest(config: RunConfig) -> Manifest:
    """The culture's rows, the same as when the study was planned.

    Raises:
        DataError: if they have changed since.
    """
    root = source.locate(config.data, Path(config.output))
    found = manifest.read(root, config.culture, config.data.pairs)
    if config.data.digest and found.digest != config.data.digest:
        raise DataError(
            f"{found.folder} has changed since the run was planned (digest {found.digest[:8]}, planned with "
            f"{config.data.digest[:8]}). Restore it, or plan a new study with study=NAME."
        )
    return found


def prepare_culture(config: RunConfig) -> Path:
    """Make the cache of the run's culture if it is not there; return its folder."""
    found = read_manifest(config)
    folder = cache.folder_of(config, found)
    if folder.is_dir():
        return folder
    return cache.prepare(config, found, _load(config))


def build(runs: Sequence[RunDir]) -> tuple[Base, list[Member]]:
    """The pack of these runs, ready to train.

    Raises:
        ConfigError, DataError: what is wrong with any run's settings or data.
    """
    configs = [compose.load(run.config) for run in runs]
    if configs[0].threads:
        torch.set_num_threads(configs[0].threads)
    manifests: dict[tuple[str, int | None], Manifest] = {}
    for config in configs:
        key = (config.culture, config.data.pairs)
        manifests[key] = manifests.get(key) or read_manifest(config)
    members = [
        Member(run, config, manifests[config.culture, config.data.pairs], index)
        for index, (run, config) in enumerate(zip(runs, configs, strict=True))
    ]
    base = _load(configs[0])
    cultures: dict[Path, cache.Culture] = {}
    trained = [member for member in members if member.config.variant is not Variant.base]
    for member in trained:
        folder = cache.prepare(member.config, member.manifest, base)
        if folder not in cultures:
            cultures[folder] = cache.load(folder, base.device)
    lora = (trained or members)[0].config.lora
    base.lora = LoraStack(base.unet, len(members), lora.rank, lora.alpha, lora.targets)
    networks = _Distances(base.device)
    for member in trained:
        culture = cultures[cache.folder_of(member.config, member.manifest)]
        lane = Lane(member.config, networks.terms(member), culture, base.lora)
        member.training = Training(member.run, lane)
    return base, members


def _load(config: RunConfig) -> Base:
    log.info("loading the base model %s", config.model.name)
    return load_base(weights.locate(config.model), device_of(config), config.model.precision)


class _Distances:
    """The feature networks that the lanes need, each loaded once."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.loaded: dict[tuple[str, str | None], torch.nn.Module] = {}

    def terms(self, member: Member) -> LaneTerms:
        objective, variant = member.config.objective, member.config.variant
        terms = LaneTerms(member.index, variant, objective)
        if not imagines(variant):
            return terms
        vgg = self.get("vgg", member) if objective.w_vgg else None
        return replace(terms, distance=self.get(objective.distance, member), vgg=vgg)

    def get(self, name: str, member: Member) -> torch.nn.Module:
        key = (name, member.config.objective.vgg_path if name == "vgg" else None)
        if key not in self.loaded:
            self.loaded[key] = load_distance(name, member.config.objective, self.device)
        return self.loaded[key]
