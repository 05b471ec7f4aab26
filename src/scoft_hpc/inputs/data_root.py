"""The folder that holds the cultures: one of the user's own, or the toy world, rendered on first use."""

from __future__ import annotations

from pathlib import Path

from scoft_hpc.config.schema import Data
from scoft_hpc.errors import ConfigError, DataError
from scoft_hpc.inputs import dataset
from scoft_hpc.study import atomic

SOURCES = ("toy", "folder")
EXPECTED = "expected a folder with <culture>/train/metadata.jsonl below it, the images beside that file."


def locate(data: Data, output: Path) -> Path:
    """The root folder, absolute; its subfolders are the cultures. The toy world is rendered below `output`, once.

    Raises:
        ConfigError: if the source is unknown, or is a folder and none is given.
        DataError: if the folder does not exist or has no culture in it, or the toy world cannot be written.
    """
    if data.name == "toy":
        return _toy(output.absolute())
    if data.name != "folder":
        raise ConfigError(f"data.name={data.name}: no such source of data; there are: {', '.join(SOURCES)}.")
    if not data.root:
        raise ConfigError("data=folder needs the folder that holds the cultures: add data.root=DIR.")
    return _folder(Path(data.root).expanduser().absolute())


def _folder(root: Path) -> Path:
    if not root.is_dir():
        nearest = next(p for p in root.parents if p.is_dir())
        what = "is not a folder" if root.exists() else f"does not exist ({nearest} does)"
        raise DataError(f"data.root={root} {what}; {EXPECTED}")
    if not dataset.cultures(root):
        if (root / "train" / "metadata.jsonl").is_file():
            raise DataError(
                f"data.root={root} is itself a culture; give data.root={root.parent} culture={root.name}."
            )
        raise DataError(f"no culture below data.root={root}; {EXPECTED}")
    return root


def _toy(output: Path) -> Path:
    from scoft_hpc.inputs.toy.scenes import CULTURES
    from scoft_hpc.inputs.toy.world import RECIPE, write_culture

    root = output / "data" / RECIPE
    if root.is_dir():
        return root
    try:
        with atomic.create_folder(root) as temporary:
            for culture in CULTURES:
                write_culture(temporary, culture)
    except OSError as error:
        raise DataError(
            f"the toy world cannot be written to {root.parent}: {error.strerror}. "
            f"Free some space there (about 10 MB), or choose another folder with output=DIR."
        ) from None
    return root
