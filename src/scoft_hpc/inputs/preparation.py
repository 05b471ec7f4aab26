"""What preparing cultures begins with: the settings checked, and images downloaded where a table lists them."""

from __future__ import annotations

from pathlib import Path

from scoft_hpc.config import validation
from scoft_hpc.config.command_configs import CaptionSource, PrepareConfig
from scoft_hpc.errors import ConfigError, collect
from scoft_hpc.inputs.checkpoints import families
from scoft_hpc.inputs.checkpoints.distances import resolve as resolve_networks
from scoft_hpc.inputs.checkpoints.negatives import resolve as resolve_negatives
from scoft_hpc.inputs.download.culture_folders import DownloadResult, fetch
from scoft_hpc.study.interrupt import StopFlag


def setting_faults(config: PrepareConfig) -> list[str]:
    """All that is wrong with the settings, and with the weights that the caches need."""
    faults = validation.validate(config)
    given = config.data.captions
    if given.path and given.source is CaptionSource.given:
        faults.append(
            f"data.captions.path={given.path} is not used: add data.captions.source=blip (or blip2)."
        )
    if config.caches:
        collect(faults, validation.require_writable, config.output)
        collect(faults, families.resolve, config.model)
        collect(faults, resolve_negatives, config.data.negatives)
        collect(faults, resolve_networks, config.objective, config.variant)
    return list(dict.fromkeys(faults))


def fetch_images(config: PrepareConfig, stop: StopFlag) -> DownloadResult:
    """Build the folders of the cultures from the list of images that `data.csv` names.

    Raises:
        ConfigError: without a folder to build them in.
        DataError: if the list cannot be used.
        Interrupted: if `stop` was requested; what was fetched stays.
    """
    data = config.data
    if not data.root or not data.csv:
        raise ConfigError("data.csv needs the folder to build the cultures in: add data.root=DIR.")
    culture = config.culture
    names = None if culture == "all" else list(culture) if isinstance(culture, (list, tuple)) else [culture]
    csv, root = Path(data.csv).expanduser(), Path(data.root).expanduser().absolute()
    return fetch(csv, root, data.download, names, stop)
