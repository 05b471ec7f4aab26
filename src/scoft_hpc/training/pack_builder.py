"""From run directories to a pack: the base is loaded once, every run's data prepared and its lane made."""

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
from scoft_hpc.perceptual.registry import load_distance
from scoft_hpc.study.digests import require_planned
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
        index: its lane in the stacked LoRA (a base run's adapter stays at zero).
        lane_run: its training; None for a base run, which trains nothing.
    """

    run: RunDir
    config: RunConfig
    manifest: Manifest
    index: int
    lane_run: LaneRun | None = None


def read_manifest(config: RunConfig) -> Manifest:
    """The culture's rows, the same as when the study was planned.

    Raises:
        DataError: if they have changed since.
    """
    root = data_root.locate(config.data, Path(config.output))
    manifest = dataset.read(root, config.culture, config.data.pairs)
    require_planned(DataError, manifest.folder, manifest.digest, config.data.digest)
    return manifest


def prepare_cultures(configs: Sequence[RunConfig], stop: StopFlag) -> list[Path]:
    """Make the missing caches of the runs' cultures; return the folders of all caches.

    Raises:
        Interrupted: if `stop` was requested on the way.
    """
    folders, bases, device = [], dict[Model, DiffusionModel](), device_of(configs[0].device)
    distance_loader = DistanceLoader(device)
    for config in configs:
        manifest = read_manifest(config)
        folder = folder_of(config, manifest.digest)
        if not folder.is_dir():
            if config.model not in bases:
                _use_threads(config)
                bases = {config.model: _load(config)}
            culture_cache.prepare(config, manifest, bases[config.model], stop)
        if needs_rollout(config.variant):
            objective = distance_loader.objective_of(0, config)
            distance_loader.cache_targets(objective, folder, culture_cache.load(folder, device), stop)
        folders.append(folder)
    return folders


def build(
    runs: Sequence[RunDir], stop: StopFlag
) -> tuple[DiffusionModel, list[PackRun], dict[RunDir, ScoftError]]:
    """The pack of these runs, ready to train, and the runs that cannot be in it, each with its reason.

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
    folders = _prepare_caches(configs, manifests, base, stop, faults)
    usable = [run for run in runs if run not in faults]
    if not usable:
        raise next(iter(faults.values()))
    pack = [PackRun(run, configs[run], manifests[run], index) for index, run in enumerate(usable)]
    trained = [pack_run for pack_run in pack if pack_run.config.variant is not Variant.base]
    cultures = {folder: culture_cache.load(folder, base.device) for folder in set(folders.values())}
    stack = base.adapt(len(pack), (trained or pack)[0].config.lora)
    distance_loader = DistanceLoader(base.device)
    for pack_run in trained:
        folder = folders[pack_run.run]
        objective = distance_loader.objective_of(pack_run.index, pack_run.config)
        distance_loader.cache_targets(objective, folder, cultures[folder], stop)
        lane = Lane(pack_run.config, objective, cultures[folder], stack)
        pack_run.lane_run = LaneRun(pack_run.run, lane)
    return base, pack, faults


def initial_microbatch(config: RunConfig, lanes: int, device: torch.device) -> MicrobatchSize:
    """The rows of such lanes that go through the denoiser together: `train.rows`, or what fits a GPU.

    On a CPU all of them, until that fails.
    """
    rows = config.train.rows
    if rows is None and device.type == "cuda":
        free_bytes = torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
        rows = memory_model.rows_per_pass(config, max(1, lanes), free_bytes / 1e9)
        log.info("microbatches of %d rows, for %d lanes", rows, lanes)
    return MicrobatchSize(rows)


def _manifests(configs: dict[RunDir, RunConfig], faults: dict[RunDir, ScoftError]) -> dict[RunDir, Manifest]:
    """Each run's culture, read once for all runs; runs of an unusable culture go to `faults`."""
    by_culture: dict[tuple[str, int | None], Manifest | ScoftError] = {}
    manifests = {}
    for run, config in configs.items():
        culture = (config.culture, config.data.pairs)
        if culture not in by_culture:
            try:
                by_culture[culture] = read_manifest(config)
            except ScoftError as error:
                by_culture[culture] = error
        manifest = by_culture[culture]
        if isinstance(manifest, ScoftError):
            faults[run] = manifest
        else:
            manifests[run] = manifest
    return manifests


def _prepare_caches(
    configs: dict[RunDir, RunConfig],
    manifests: dict[RunDir, Manifest],
    base: DiffusionModel,
    stop: StopFlag,
    faults: dict[RunDir, ScoftError],
) -> dict[RunDir, Path]:
    """The cache of each trained run's culture, made if it is missing; runs for which that fails go to `faults`."""
    folders = {}
    for run, manifest in manifests.items():
        if configs[run].variant is not Variant.base:
            try:
                folders[run] = culture_cache.prepare(configs[run], manifest, base, stop)
            except ScoftError as error:
                faults[run] = error
    return folders


def _use_threads(config: RunConfig) -> None:
    """Rounding depends on the number of threads: a fixed number gives the same results on any machine."""
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
    require_planned(ConfigError, model.path, model.digest, config.model.digest)
    return load_model(model, device)


class DistanceLoader:
    """Loads the distances that lanes need, each one once."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._loaded: dict[Hashable, Distance] = {}
        self._verified: set[Hashable] = set()

    def objective_of(self, index: int, config: RunConfig) -> LaneObjective:
        """The objective of the lane `index`.

        Raises:
            ConfigError: if a feature network is missing, or is not the one that the run was planned with.
        """
        objective, variant = config.objective, config.variant
        if not needs_rollout(variant):
            return LaneObjective(index, variant, objective)
        self._verify(objective, variant)
        vgg = self._get("vgg", objective) if objective.w_vgg else None
        return LaneObjective(index, variant, objective, self._get(objective.distance, objective), vgg)

    def cache_targets(
        self, objective: LaneObjective, folder: Path, culture: CachedCulture, stop: StopFlag
    ) -> None:
        """Cache the culture's targets of the lane's compact distances."""
        for named in (objective.s, objective.vgg):
            if named and named.distance.cacheable and named.name not in culture.distance_targets:
                culture_cache.cache_targets(folder, culture, named.name, named.distance, stop)

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
        key = (name, distances.path_of(name, objective))  # VGG is one network as S and as the VGG term
        if key not in self._loaded:
            self._loaded[key] = load_distance(name, objective, self.device)
        return NamedDistance("-".join(filter(None, (name, objective.digest))), self._loaded[key])
