"""Make cultures ready for a study: checked, captioned, documented, and what training needs made before it.

    python -m scoft_hpc.prepare culture=korea data.root=DIR
    python -m scoft_hpc.prepare culture=all data.root=DIR data.captions.source=blip

The folder's form is `inputs.dataset`'s. What is there already is not made again: the same command continues.
"""

from __future__ import annotations

import logging
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console

from scoft_hpc.config import check
from scoft_hpc.config.commands import CaptionSource, PrepareConfig, SweepConfig
from scoft_hpc.config.compose import command
from scoft_hpc.config.plain import plain
from scoft_hpc.config.schema import Data, NegativeSource, RunConfig
from scoft_hpc.data import captions
from scoft_hpc.errors import INTERRUPTED, ConfigError, DataError, ScoftError
from scoft_hpc.inputs import data_root, dataset, dataset_docs
from scoft_hpc.inputs.checkpoints import families
from scoft_hpc.inputs.checkpoints.distances import resolve as resolve_networks
from scoft_hpc.inputs.checkpoints.negatives import resolve as resolve_negatives
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.inputs.dataset_docs import Written
from scoft_hpc.inputs.metadata_rows import WRITER, Row
from scoft_hpc.launch.planning import plan
from scoft_hpc.models import captioner
from scoft_hpc.study.interrupt import Interrupted, Stop

OWN = ("culture", "data", "data.root", "data.csv", "data.captions", "data.download", "caches")
"""Settings that a sweep is told otherwise, or not at all; all others are the same words there."""
SHOWN = 5
"""So many images that could not be fetched are named; the rest is counted."""

Value = TypeVar("Value")


@dataclass(frozen=True)
class Ready:
    """A culture that is ready, but for its caches."""

    rows: list[Row]
    manifest: Manifest
    documents: Written


def prepare(config: PrepareConfig, words: Sequence[str]) -> int:
    """Do all that is asked for; return 0, or 75 if interrupted: the same command continues.

    Raises:
        ScoftError: for settings or data that cannot be used, all faults at once.
    """
    _log_to_stderr()
    console, stop = Console(highlight=False), Stop()
    with stop.heeding_signals():
        try:
            _prepare(console, config, words, stop)
        except Interrupted:
            _say(console, "interrupted; what was done is kept, and the same command continues")
            return INTERRUPTED
        except OSError as error:
            raise DataError(
                f"{error.filename or config.data.root}: {error.strerror or error}. "
                f"Expected folders that can be read and written, with room in them."
            ) from None
    return 0


def _prepare(console: Console, config: PrepareConfig, words: Sequence[str], stop: Stop) -> None:
    if config.data.name != "folder":
        raise ConfigError(f"data={config.data.name} is made ready by itself; prepare takes data.root=DIR.")
    faults = _settings(config)
    if config.data.csv:
        if faults:  # before a download that may take hours
            raise ConfigError.of(faults)
        _fetch(console, config, stop)
    root = data_root.locate(config.data, Path(config.output))
    names = _collect(faults, dataset.chosen, config.culture, data_root.cultures(root)) or []
    surveys, found = _survey(config, root, names, faults)
    if found:
        surveys |= _captioned(config, root, surveys, found, stop)
    ready = {name: _document(root / name, surveys[name]) for name in names}
    caches = _caches(config, names, words, stop) if config.caches else {}
    for name in names:
        _tell(console, config, ready[name], caches.get(name))
    _say(console, "")
    _say(console, f"next     {_sweep(config, root, names, words)}")


def _settings(config: PrepareConfig) -> list[str]:
    """All that is wrong with the settings, and with the weights that the caches need."""
    faults = check.check(config)
    given, download = config.data.captions, config.data.download
    if given.path and given.source is CaptionSource.given:
        faults.append(
            f"data.captions.path={given.path} is not used: add data.captions.source=blip (or blip2)."
        )
    for name, value in plain(download).items():
        if not value > 0:
            faults.append(f"data.download.{name}={value}: expected more than 0.")
    if config.caches:
        _collect(faults, check.check_output, config.output)
        _collect(faults, families.resolve, config.model)
        _collect(faults, resolve_negatives, config.data.negatives)
        _collect(faults, resolve_networks, config.objective, config.variant)
    return list(dict.fromkeys(faults))


def _fetch(console: Console, config: PrepareConfig, stop: Stop) -> None:
    from scoft_hpc.inputs.download.culture import fetch

    data = config.data
    if not data.root or not data.csv:
        raise ConfigError("data.csv needs the folder to build the cultures in: add data.root=DIR.")
    asked = config.culture
    names = None if asked == "all" else list(asked) if isinstance(asked, (list, tuple)) else [asked]
    csv, root = Path(data.csv).expanduser(), Path(data.root).expanduser().absolute()
    found = fetch(csv, root, data.download, names, stop)
    _say(
        console,
        f"fetched  {found.fetched} images, {found.kept} were there, {len(found.failed)} not to be had",
    )
    for sentence in found.failed[:SHOWN]:
        _say(console, f"         {sentence}")
    if found.failures:
        _say(console, f"         all of these: {found.failures}")


def _survey(
    config: PrepareConfig, root: Path, names: Sequence[str], faults: list[str]
) -> tuple[dict[str, list[Row]], captioner.Found | None]:
    """The cultures' rows, and the captioner if any of them lacks a caption.

    Raises:
        DataError: telling `faults` and all that is wrong with the rows, the images and the captioner.
    """
    given = config.data.captions.source is CaptionSource.given
    surveys = {name: _collect(faults, dataset.survey, root, name, captioned=given) for name in names}
    bare = any(row.uncaptioned for rows in surveys.values() for row in rows or ())
    found = _collect(faults, captioner.find, config.data.captions) if bare and not given else None
    if faults:
        raise DataError.of(faults)
    return {name: rows for name, rows in surveys.items() if rows is not None}, found


def _captioned(
    config: PrepareConfig,
    root: Path,
    surveys: Mapping[str, list[Row]],
    found: captioner.Found,
    stop: Stop,
) -> dict[str, list[Row]]:
    """The rows of the cultures that lacked captions, with them."""
    from scoft_hpc.models.device import device_of

    network = captioner.load(found, device_of(config.device))
    bare = [name for name, rows in surveys.items() if any(row.uncaptioned for row in rows)]
    for name in bare:
        captions.fill(root / name, surveys[name], network.caption, found.name, stop)
    return {name: dataset.survey(root, name) for name in bare}


def _document(folder: Path, rows: list[Row]) -> Ready:
    found = dataset.of(folder.name, folder, rows)
    return Ready(rows, found, dataset_docs.write(folder, rows, found.digest))


def _caches(config: PrepareConfig, names: Sequence[str], words: Sequence[str], stop: Stop) -> dict[str, Path]:
    """What training needs of each culture, made as the first job of a sweep of the same settings would."""
    from scoft_hpc.training.build import prepare_cultures

    values = {f.name: getattr(config, f.name) for f in fields(RunConfig)}
    data = Data(**{f.name: getattr(config.data, f.name) for f in fields(Data)})
    planned = plan.make(SweepConfig(**{**values, "data": data, "culture": list(names)}), words)
    configs = [run.config for run in planned.runs]
    return dict(zip((config.culture for config in configs), prepare_cultures(configs, stop), strict=True))


def _tell(console: Console, config: PrepareConfig, ready: Ready, cache: Path | None) -> None:
    found, written = ready.manifest, ready.documents
    _say(console, "")
    _say(
        console,
        f"{found.culture}: {len(found.pairs)} pairs, {len(found.held_out)} held out, digest {found.digest}",
    )
    writers = Counter(str(row.others.get(WRITER) or "given") for row in ready.rows)
    _say(console, f"captions   {', '.join(f'{count} {_by(who)}' for who, count in writers.items())}")
    _say(console, f"negatives  {_negatives(config, found)}")
    _say(console, f"documents  {', '.join(path.name for path in written.files)} in {found.folder}")
    _say(console, f"caches     {cache or 'not made'}")
    for note in written.notes:
        _say(console, f"note: {note}")


def _by(writer: str) -> str:
    return writer if writer == "given" else f"by {writer}"


def _negatives(config: PrepareConfig, found: Manifest) -> str:
    settings = config.data.negatives
    bare = sum(not pair.negatives for pair in found.pairs)
    given = f"{len(found.pairs) - bare} pairs have their own"
    if not bare:
        return given
    if settings.source is NegativeSource.given:
        return f"{given}, {bare} have none: no run of variant mpc before they do (or negatives=img2img)"
    drawn = "drawn" if config.caches else "to be drawn"
    return f"{given}, for {bare} {drawn} by {settings.source.name}, {settings.per_positive} each"


def _sweep(config: PrepareConfig, root: Path, names: Sequence[str], words: Sequence[str]) -> str:
    """The command that runs a study of the cultures under the same settings."""
    culture = (
        config.culture if config.culture == "all" else names[0] if len(names) == 1 else f"[{','.join(names)}]"
    )
    same = [
        word for word in words if not word.startswith("-") and not _is_own(word.lstrip("+").partition("=")[0])
    ]
    asked = [f"culture={culture}", "ablation=loss_terms", "data=folder", f"data.root={root}", *same]
    return f"python -m scoft_hpc.sweep {shlex.join(asked)}"


def _is_own(key: str) -> bool:
    return key in OWN or key.startswith(("data.captions.", "data.download."))


def _collect(faults: list[str], function: Callable[..., Value], *args: Any, **more: Any) -> Value | None:
    """What `function` returns, or None and its faults among `faults`."""
    try:
        return function(*args, **more)
    except ScoftError as error:
        faults += [line.removeprefix("- ") for line in str(error).splitlines()]
        return None


def _say(console: Console, text: str) -> None:
    """A line as it is: paths are not wrapped, so that they can be clicked and copied."""
    console.print(text, markup=False, soft_wrap=True)


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")
    logging.getLogger("scoft_hpc").setLevel(logging.INFO)


def main() -> int:
    words = sys.argv[1:]
    return command("prepare", lambda config: prepare(config, words), words)


if __name__ == "__main__":
    raise SystemExit(main())
