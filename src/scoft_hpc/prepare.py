"""Prepare cultures for a study: check and caption the images, write the documents, and make the caches.

    python -m scoft_hpc.prepare culture=korea data.root=DIR
    python -m scoft_hpc.prepare culture=all data.root=DIR data.captions.source=blip

`inputs.dataset` describes the directory layout. Existing results are not made again: the same command continues.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from rich.console import Console

from scoft_hpc.config.command_configs import CaptionSource, PrepareConfig, SweepConfig
from scoft_hpc.config.compose import command
from scoft_hpc.config.nodes import settings
from scoft_hpc.config.schema import Data, NegativeSource, RunConfig
from scoft_hpc.console import log_to_stderr, print_line
from scoft_hpc.errors import INTERRUPTED, ConfigError, DataError, collect
from scoft_hpc.inputs import data_root, dataset, dataset_docs, preparation
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.inputs.dataset_docs import WrittenDocuments
from scoft_hpc.inputs.metadata_rows import WRITER, MetadataRow
from scoft_hpc.launch.planning import plan
from scoft_hpc.study.interrupt import Interrupted, StopFlag

MAX_SHOWN = 5
"""So many images that could not be fetched are named; the rest is counted."""


def main(argv: Sequence[str] | None = None) -> int:
    return command("prepare", prepare, argv)


def prepare(config: PrepareConfig, overrides: Sequence[str]) -> int:
    """Do all that is asked for; return 0, or 75 if interrupted: the same command continues.

    Raises:
        ScoftError: for settings or data that cannot be used, all faults at once.
    """
    log_to_stderr()
    console, stop = Console(highlight=False), StopFlag()
    with stop.capture_signals():
        try:
            _prepare(console, config, overrides, stop)
        except Interrupted:
            print_line(console, "interrupted; what was done is kept, and the same command continues")
            return INTERRUPTED
        except OSError as error:
            raise DataError(
                f"{error.filename or config.data.root}: {error.strerror or error}. "
                f"Expected folders that can be read and written, with room in them."
            ) from None
    return 0


def _prepare(console: Console, config: PrepareConfig, overrides: Sequence[str], stop: StopFlag) -> None:
    if config.data.name != "folder":
        raise ConfigError(f"data={config.data.name} is made ready by itself; prepare takes data.root=DIR.")
    faults = preparation.setting_faults(config)
    if config.data.csv:
        if faults:  # before a download that may take hours
            raise ConfigError.from_messages(faults)
        _fetch(console, config, stop)
    root = data_root.locate(config.data, Path(config.output))
    names = collect(faults, dataset.select_cultures, config.culture, dataset.cultures(root)) or []
    rows = _captioned(config, root, names, faults, stop)
    manifests = [dataset.from_rows(name, root / name, rows[name]) for name in names]
    documents = {m.culture: dataset_docs.write(m.folder, rows[m.culture], m.digest) for m in manifests}
    caches = _caches(config, names, overrides, stop) if config.caches else {}
    for manifest in manifests:
        name = manifest.culture
        _tell(console, config, rows[name], manifest, documents[name], caches.get(name))
    print_line(console, "")
    print_line(console, f"next     {_sweep(config, root, names, overrides)}")


def _fetch(console: Console, config: PrepareConfig, stop: StopFlag) -> None:
    fetched = preparation.fetch_images(config, stop)
    counts = f"{fetched.fetched} images, {fetched.n_existing} were there, {len(fetched.failed)} could not be downloaded"
    print_line(console, f"fetched  {counts}")
    for sentence in fetched.failed[:MAX_SHOWN]:
        print_line(console, f"         {sentence}")
    if fetched.failures:
        print_line(console, f"         all of these: {fetched.failures}")


def _captioned(
    config: PrepareConfig, root: Path, names: Sequence[str], faults: list[str], stop: StopFlag
) -> Mapping[str, list[MetadataRow]]:
    """The rows of the cultures, with captions written for those that had none.

    Raises:
        DataError: for `faults` and all that is wrong with the rows, the images and the captioner.
    """
    given = config.data.captions.source is CaptionSource.given
    checked = {name: collect(faults, dataset.validate, root, name, captioned=given) for name in names}
    rows_of, captioner = {name: rows for name, rows in checked.items() if rows is not None}, None
    if not given and any(row.uncaptioned for rows in rows_of.values() for row in rows):
        from scoft_hpc.models.captioner import find

        captioner = collect(faults, find, config.data.captions)
    if faults:
        raise DataError.from_messages(faults)
    if captioner is None:
        return rows_of
    from scoft_hpc.data import captions  # it loads torch

    return rows_of | captions.write_missing(captioner, config.device, root, rows_of, stop)


def _caches(
    config: PrepareConfig, names: Sequence[str], overrides: Sequence[str], stop: StopFlag
) -> dict[str, Path]:
    """What training needs of each culture, made as the first job of a sweep of the same settings would."""
    from scoft_hpc.training.pack_builder import prepare_cultures

    values = {f.name: getattr(config, f.name) for f in fields(RunConfig)}
    data = Data(**{f.name: getattr(config.data, f.name) for f in fields(Data)})
    planned = plan.build_plan(SweepConfig(**{**values, "data": data, "culture": list(names)}), overrides)
    configs = [run.config for run in planned.runs]
    return dict(zip((config.culture for config in configs), prepare_cultures(configs, stop), strict=True))


def _tell(
    console: Console,
    config: PrepareConfig,
    rows: Sequence[MetadataRow],
    manifest: Manifest,
    documents: WrittenDocuments,
    cache: Path | None,
) -> None:
    print_line(console, "")
    print_line(
        console,
        f"{manifest.culture}: {len(manifest.pairs)} pairs, {len(manifest.held_out)} held out, digest {manifest.digest}",
    )
    writers = Counter(str(row.others.get(WRITER) or "given") for row in rows)
    print_line(console, f"captions   {', '.join(f'{count} {_by(who)}' for who, count in writers.items())}")
    print_line(console, f"negatives  {_negatives(config, manifest)}")
    print_line(console, f"documents  {', '.join(path.name for path in documents.files)} in {manifest.folder}")
    print_line(console, f"caches     {cache or 'not made'}")
    for note in documents.notes:
        print_line(console, f"note: {note}")


def _by(writer: str) -> str:
    return writer if writer == "given" else f"by {writer}"


def _negatives(config: PrepareConfig, manifest: Manifest) -> str:
    settings = config.data.negatives
    bare = sum(not pair.negatives for pair in manifest.pairs)
    given = f"{len(manifest.pairs) - bare} pairs have their own"
    if not bare:
        return given
    if settings.source is NegativeSource.given:
        return f"{given}, {bare} have none: no run of variant mpc before they do (or negatives=img2img)"
    drawn = "drawn" if config.caches else "to be drawn"
    return f"{given}, for {bare} {drawn} by {settings.source.name}, {settings.per_positive} each"


def _sweep(config: PrepareConfig, root: Path, names: Sequence[str], overrides: Sequence[str]) -> str:
    """The command that runs a study of the cultures under the same settings."""
    culture = (
        config.culture if config.culture == "all" else names[0] if len(names) == 1 else f"[{','.join(names)}]"
    )
    replaced = {"culture": culture, "ablation": "loss_terms", "data": "folder", "data.root": str(root)}
    dropped = {*replaced, *(settings(PrepareConfig).keys() - settings(SweepConfig).keys())}
    same = [
        text
        for text in overrides
        if not text.startswith("-") and text.lstrip("+").partition("=")[0] not in dropped
    ]
    asked = [*(f"{name}={value}" for name, value in replaced.items()), *same]
    return f"python -m scoft_hpc.sweep {shlex.join(asked)}"


if __name__ == "__main__":
    raise SystemExit(main())
