"""From run directories to a pack: the base loaded once, every run's data prepared, a lane for each."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from scoft_hpc.config import compose
from scoft_hpc.config.schema import Model, Objective, Precision, RunConfig, Variant
from scoft_hpc.config.terms import needs_rollout
from scoft_hpc.data import culture_cache
from scoft_hpc.data.culture_cache import CachedCulture
from scoft_hpc.errors import ConfigError, DataError, ScoftError
from scoft_hpc.inputs import data_root, dataset, memory_model
from scoft_hpc.inputs.cache_key import folder_of
from scoft_hpc.inputs.checkpoints import distances, families
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.losses.perceptual import Distance
from scoft_hpc.models.device import check_precision, device_of
from scoft_hpc.models.diffusion_model import DiffusionModel
from scoft_hpc.models.families.registry import load_model
from scoft_hpc.models.oom_backoff import MicrobatchSize
from scoft_hpc.perceptual.registry import key, load_distance
from scoft_hpc.study.interrupt import StopFlag
from scoft_hpc.study.paths import RunDir
from scoft_hpc.training.lane import Lane
from scoft_hpc.training.loop import LaneRun
from scoft_hpc.training.objective import LaneObjective, NamedDistance

log = logging.getLogger(__name__)


@dataclass
class PackRun:
    """A run of the pack.

    Attributes:
        index: its number in the stacked LoRA (a base run's adapter stays at zero).
        training: its lane; None for a base run, which trains nothing.
    """

    run: RunDir
    config: RunConfig
    manifest: Manifest
    index: int
    training: LaneRun | None = None


def read_manifest(config: RunConfig) -> Manifest:
    """The culture's rows, the same as when the study was planned.

    Raises:
        DataError: if they have changed since.
    """
    root = data_root.locate(config.data, Path(config.output))
    found = dataset.read(root, config.culture, config.data.pairs)
    if config.data.digest and found.digest != config.data.digest:
        raise DataError(
            f"{found.folder} has changed since the run was planned (digest {found.digest[:8]}, planned with "
            f"{config.data.digest[:8]}). Restore it, or plan a new study with study=NAME."
        )
    return found


def prepare_cultures(configs: Sequence[RunConfig], stop: StopFlag) -> list[Path]:
    """Make what each run's culture needs before training, if it is not there; return the caches' folders.

    Raises:
        Interrupted: if `stop` was requested on the way.
    """
    folders, bases, device = [], dict[Model, DiffusionModel](), device_of(configs[0].device)
    networks = DistanceLoader(device)
    for config in configs:
        found = read_manifest(config)
        folder = folder_of(config, found.digest)
        if not folder.is_dir():
            if config.model not in bases:
                _use_threads(config)
                bases = {config.model: _load(config)}
            culture_cache.prepare(config, found, bases[config.model], stop)
        if needs_rollout(config.variant):
            terms = networks.terms(0, config)
            networks.keep_targets(terms, folder, culture_cache.load(folder, device), stop)
        folders.append(folder)
    return folders


def build(
    runs: Sequence[RunDir], stop: StopFlag
) -> tuple[DiffusionModel, list[PackRun], dict[RunDir, ScoftError]]:
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
    members = [PackRun(run, configs[run], manifests[run], index) for index, run in enumerate(sound)]
    trained = [member for member in members if member.config.variant is not Variant.base]
    cultures = {folder: culture_cache.load(folder, base.device) for folder in set(folders.values())}
    lora = (trained or members)[0].config.lora
    stack = base.adapt(len(members), lora)
    networks = DistanceLoader(base.device)
    for member in trained:
        folder = folders[member.run]
        terms = networks.terms(member.index, member.config)
        networks.keep_targets(terms, folder, cultures[folder], stop)
        lane = Lane(member.config, terms, cultures[folder], stack)
        member.training = LaneRun(member.run, lane)
    return base, members, faults


def initial_microbatch(config: RunConfig, lanes: int, device: torch.device) -> MicrobatchSize:
    """How many rows of a pack of such lanes go through the denoiser at a time: `train.rows`, or what fits a GPU.

    On a CPU all of them, until that fails.
    """
    rows = config.train.rows
    if rows is None and device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
        rows = memory_model.rows_per_pass(config, max(1, lanes), free / 1e9)
        log.info("%d rows at a time through the U-Net, of %d lanes", rows, lanes)
    return MicrobatchSize(rows)


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
    base: DiffusionModel,
    stop: StopFlag,
    faults: dict[RunDir, ScoftError],
) -> dict[RunDir, Path]:
    """The cache of each trained run's culture, made where it is missing; what keeps one from being made is a fault."""
    folders = {}
    for run, found in manifests.items():
        if configs[run].variant is not Variant.base:
            try:
                folders[run] = culture_cache.prepare(configs[run], found, base, stop)
            except ScoftError as error:
                faults[run] = error
    return folders


def _use_threads(config: RunConfig) -> None:
    """Sums over several threads round otherwise: who asks for so many gets the same numbers anywhere."""
    if config.threads:
        torch.set_num_threads(config.threads)


def _load(config: RunConfig) -> DiffusionModel:
    """The base model, the same as when the study was planned.

    Raises:
        ConfigError: if it has changed since, or does not suit the device.
    """
    log.info("loading the base model %s", config.model.name)
    device = device_of(config.device)
    check_precision(config.model.precision, device)
    if device.type == "cpu" and config.model.precision is not Precision.fp32:
        log.warning("%s on a CPU is slow; model.precision=fp32 is faster", config.model.precision.name)
    model = families.resolve(config.model)
    if config.model.digest not in ("", model.digest):
        raise ConfigError(
            f"{model.path} has changed since the run was planned (digest {model.digest[:8]}, planned with "
            f"{config.model.digest[:8]}). Restore it, or plan a new study with study=NAME."
        )
    return load_model(model, device)


class DistanceLoader:
    """The feature networks that lanes need, each loaded once."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.loaded: dict[Hashable, Distance] = {}
        self._verified: set[Hashable] = set()

    def terms(self, index: int, config: RunConfig) -> LaneObjective:
        """What the lane `index` trains on.

        Raises:
            ConfigError: if a feature network is missing, or is not the one that the run was planned with.
        """
        objective, variant = config.objective, config.variant
        if not needs_rollout(variant):
            return LaneObjective(index, variant, objective)
        self._verify(objective, variant)
        vgg = self._get("vgg", objective) if objective.w_vgg else None
        return LaneObjective(index, variant, objective, self._get(objective.distance, objective), vgg)

    def keep_targets(
        self, terms: LaneObjective, folder: Path, culture: CachedCulture, stop: StopFlag
    ) -> None:
        """What the lane's distances keep of its culture, where that is compact."""
        for network in (terms.s, terms.vgg):
            if network and network.distance.compact and network.name not in culture.kept:
                culture_cache.keep_targets(folder, culture, network.name, network.distance, stop)

    def _verify(self, objective: Objective, variant: Variant) -> None:
        """Compare the digest of the feature networks with the planned one; hash each set of files once."""
        files = (objective.distance, objective.distance_path, objective.vgg_path, objective.w_vgg > 0)
        planned = objective.digest
        if not planned or (files, planned) in self._verified:
            return
        digest = distances.resolve(objective, variant).digest
        if digest != planned:
            raise ConfigError(
                f"the feature networks of objective.distance={objective.distance} have changed since the run was "
                f"planned (digest {digest[:8]}, planned with {planned[:8]}): their weights, or how this version of "
                "scoft-hpc compares them. Restore them, or plan a new study with study=NAME."
            )
        self._verified.add((files, planned))

    def _get(self, name: str, objective: Objective) -> NamedDistance:
        known = key(name, objective)
        if known not in self.loaded:
            self.loaded[known] = load_distance(name, objective, self.device)
        return NamedDistance("-".join(filter(None, (name, objective.digest))), self.loaded[known])
