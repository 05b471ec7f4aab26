"""What preparing a culture takes on the login node: settings and data checked, images fetched, documents written.

No torch here: captions are written by `data.captions`, and latents by `training.pack_builder`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scoft_hpc.config import validation
from scoft_hpc.config.command_configs import CaptionSource, PrepareConfig
from scoft_hpc.errors import ConfigError, collect
from scoft_hpc.inputs import dataset, dataset_docs
from scoft_hpc.inputs.checkpoints import families
from scoft_hpc.inputs.checkpoints.distances import resolve as resolve_networks
from scoft_hpc.inputs.checkpoints.negatives import resolve as resolve_negatives
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.inputs.dataset_docs import WrittenDocuments
from scoft_hpc.inputs.download.culture_folders import DownloadResult, fetch
from scoft_hpc.inputs.metadata_rows import MetadataRow
from scoft_hpc.study.interrupt import StopFlag


@dataclass(frozen=True)
class PreparedCulture:
    """A culture that is ready but for its caches."""

    rows: list[MetadataRow]
    manifest: Manifest
    documents: WrittenDocuments


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


def validate_cultures(
    config: PrepareConfig, root: Path, cultures: Sequence[str], faults: list[str]
) -> dict[str, list[MetadataRow]]:
    """The rows of the cultures; what is wrong with rows and images is added to `faults`."""
    captioned = config.data.captions.source is CaptionSource.given
    rows_of = {name: collect(faults, dataset.validate, root, name, captioned=captioned) for name in cultures}
    return {name: rows for name, rows in rows_of.items() if rows is not None}


def needs_captioner(config: PrepareConfig, rows_of: Mapping[str, Sequence[MetadataRow]]) -> bool:
    """Whether captions are missing that a network is to write."""
    bare = any(row.uncaptioned for rows in rows_of.values() for row in rows)
    return bare and config.data.captions.source is not CaptionSource.given


def document(folder: Path, rows: list[MetadataRow]) -> PreparedCulture:
    """Write the culture's documents beside its images."""
    manifest = dataset.from_rows(folder.name, folder, rows)
    return PreparedCulture(rows, manifest, dataset_docs.write(folder, rows, manifest.digest))
