"""From run directories to a pack: the base loaded once, every run's data prepared, a lane for each."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from scoft_hpc.config import compose
from scoft_hpc.config.schema import RunConfig, Variant
from scoft_hpc.data import cache, manifest, source
from scoft_hpc.data.key import folder_of
from scoft_hpc.data.manifest import Manifest
from scoft_hpc.errors import ConfigError, DataError, ScoftError
from scoft_hpc.features.registry import load_distance
from scoft_hpc.losses.total import imagines
from scoft_hpc.models import weights
from scoft_hpc.models.base import Base, load_base
from scoft_hpc.models.lora import LoraStack
from scoft_hpc.runs.layout import RunDir
from scoft_hpc.runs.stop import Stop
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
        if torch.cuda.is_available():
            return torch.device("cuda")
        if os.environ.get("CUDA_VISIBLE_DEVICES", "-1") not in ("", "-1"):
            raise ConfigError(_no_cuda(os.environ["CUDA_VISIBLE_DEVICES"]))
        return torch.device("cpu")
    try:
        return torch.empty(0, device=config.device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(
            f"device={config.device} cannot be used ({reason}); try auto, cpu or cuda."
        ) from None


def _no_cuda(given: str) -> str:
    built = f"CUDA {torch.version.cuda}" if torch.version.cuda else "CPUs only"
    return (
        f"a GPU was given (CUDA_VISIBLE_DEVICES={given}), but this torch {torch.__version__}, built for {built}, "
        f"finds none. Install a build that fits the driver, or ask for a CPU with device=cpu: "
        f"the GPU would be paid for and not used."
    )


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


def prepare_culture(config: RunConfig, stop: Stop) -> Path:
    """Make the cache of the run's culture if it is not there; return its folder.

    Raises:
        Interrupted: if `stop` was requested on the way.
    """
    found = read_manifest(config)
    folder = folder_of(config, found.digest)
    if folder.is_dir():
        return folder
    _use_threads(config)
    return cache.prepare(config, found, _load(config), stop)


def build(runs: Sequence[RunDir], stop: Stop) -> tuple[Base, list[Member], dict[RunDir, ScoftError]]:
    """The pack of these runs, ready to train, and those that cannot be in it, each with its reason.

    Raises:
        ConfigError, DataError: if none can.
        Interrupted: if `stop` was requested on the way.
    """
    configs = {run: compose.load(run.config) for run in runs}
    first = configs[runs[0]]
    _use_threads(first)
    faults: dict[RunDir, ScoftError] = {}
    manifests = _manifests(configs, faults)
    base = _load(first)
    folders = _prepared(configs, manifests, base, stop, faults)
    sound = [run for run in runs if run not in faults]
    if not sound:
        raise next(iter(faults.values()))
    members = [Member(run, configs[run], manifests[run], index) for index, run in enumerate(sound)]
    trained = [member for member in members if member.config.variant is not Variant.base]
    cultures = {folder: cache.load(folder, base.device) for folder in set(folders.values())}
    lora = (trained or members)[0].config.lora
    base.lora = LoraStack(base.unet, len(members), lora.rank, lora.alpha, lora.targets)
    networks = _Distances(base.device)
    for member in trained:
        lane = Lane(member.config, networks.terms(member), cultures[folders[member.run]], base.lora)
        member.training = Training(member.run, lane)
    return base, members, faults


def _manifests(configs: dict[RunDir, RunConfig], faults: dict[RunDir, ScoftError]) -> dict[RunDir, Manifest]:
    """Each run's culture, read once for all; runs of one that cannot be used go to `faults`."""
    read: dict[tuple[str, int | None], Manifest | ScoftError] = {}
    found = {}
    for run, config in configs.items():
        key = (config.culture, config.data.pairs)
        if key not in read:
            try:
                read[key] = read_manifest(config)
            except ScoftError as error:
                read[key] = error
        got = read[key]
        if isinstance(got, ScoftError):
            faults[run] = got
        else:
            found[run] = got
    return found


def _prepared(
    configs: dict[RunDir, RunConfig],
    manifests: dict[RunDir, Manifest],
    base: Base,
    stop: Stop,
    faults: dict[RunDir, ScoftError],
) -> dict[RunDir, Path]:
    """The cache of each trained run's culture, made where it is missing; what keeps one from being made is a fault."""
    folders = {}
    for run, found in manifests.items():
        if configs[run].variant is not Variant.base:
            try:
                folders[run] = cache.prepare(configs[run], found, base, stop)
            except ScoftError as error:
                faults[run] = error
    return folders


def _use_threads(config: RunConfig) -> None:
    """Sums over several threads round otherwise: who asks for so many gets the same numbers anywhere."""
    if config.threads:
        torch.set_num_threads(config.threads)


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
