"""A culture's training images and the negatives that a run had beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from scoft_hpc.errors import ScoftError
from scoft_hpc.inputs.cache_key import folder_of
from scoft_hpc.inputs.metadata_rows import read_rows
from scoft_hpc.results.study import StudyRun


@dataclass(frozen=True)
class TrainingPair:
    """A training image with its caption, and its first negative; None where it has none that can be found."""

    caption: str
    image: Path
    negative: Path | None


def of_run(run: StudyRun) -> list[TrainingPair]:
    """The pairs that the run trained on, in their order; none where the culture's folder cannot be seen from here.

    Given negatives lie with the images. Drawn ones lie in the culture's cache, whose name follows from the run's
    settings, so that a study whose variants differ in their negatives shows each its own.
    """
    from scoft_hpc.config.compose import from_mapping

    try:
        config = from_mapping(dict(run.config))
        if config.data.root is None:
            return []
        rows = read_rows(Path(config.data.root) / run.culture, "train")
    except ScoftError:
        return []  # the pictures are an ornament here: a broken set was refused when the study was planned
    drawn = folder_of(config, config.data.digest) / "negatives"
    pairs = []
    for i, row in enumerate(rows[: config.data.pairs]):
        if not row.faults:
            image, *given = row.images
            negative = given[0] if given else _there(drawn / f"{i:05d}-0.png")
            pairs.append(TrainingPair(row.values["text"], image, negative))
    return pairs


def _there(path: Path) -> Path | None:
    return path if path.exists() else None
