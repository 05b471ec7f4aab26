"""Sample grids: a row a variant, the same prompt and starting noise down each column.

A prompt goes by its place, which stands in the names of its samples (`p03-s01.png`): baselines may phrase it
differently.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoft_hpc.config.schema import Variant
from scoft_hpc.errors import ScoftError
from scoft_hpc.inputs.cache_key import folder_of
from scoft_hpc.inputs.metadata_rows import read_rows
from scoft_hpc.results import thumbnails
from scoft_hpc.results.study import Study, StudyRun

MAX_PROMPTS = 8
"""Prompts shown of a culture."""
MAX_SAMPLES = 3
"""Samples shown of a prompt: the first in the open, the others to be unfolded."""
MAX_SEEDS = 4
"""Further seeds shown."""
Sample = dict[str, Any]
STYLE_NOTES = {"in-style": ", in style", "default": ", default style", "other": ", another style"}


@dataclass(frozen=True)
class GridCell:
    """A picture, or none; `verdict` is `in-style`, `default`, `other`, or empty where the truth is not known."""

    uri: str | None
    alt: str
    verdict: str = ""


@dataclass(frozen=True)
class GridRow:
    label: str
    note: str
    cells: list[GridCell]


@dataclass(frozen=True)
class TrainingPair:
    """A training image with its caption, and its first negative; None where it has none that can be found."""

    caption: str
    image: Path
    negative: Path | None


Panel = list[GridRow]
"""Lines under the same prompts."""


@dataclass(frozen=True)
class Grid:
    """A culture's pictures of one seed, a column a prompt.

    Attributes:
        given: training images with, where there are any, the negatives beside them.
        front: the base and the fullest variant, first sample of each prompt; between: the other variants.
        more: all variants' further samples, a panel each.
        seeds: the base and the fullest variant of each further seed.
    """

    culture: str
    seed: int
    prompts: list[str]
    given: Panel
    front: Panel
    between: Panel
    more: list[Panel]
    seeds: list[tuple[int, Panel]]


def grid(study: Study, culture: str) -> Grid | None:
    """The culture's grid, of its lowest seed; None where nothing has been drawn yet."""
    by_seed = {seed: runs for seed in study.seeds if (runs := _drawn(study, culture, seed))}
    if not by_seed:
        return None
    (seed, runs), *others = by_seed.items()
    front = front_of(runs)
    between = [run for run in runs if run not in front]
    prompts = _prompts(front[-1].samples)
    places = list(prompts)
    depth = max(len(samples) for run in runs for samples in _by_place(run.samples).values())
    return Grid(
        culture,
        seed,
        list(prompts.values()),
        given=_given(front[-1], list(prompts.values())),
        front=[_line(run, places, 0) for run in front],
        between=[_line(run, places, 0) for run in between],
        more=[
            [_line(run, places, n) for run in [*front, *between]] for n in range(1, min(depth, MAX_SAMPLES))
        ],
        seeds=[(s, [_line(run, places, 0) for run in front_of(runs)]) for s, runs in others[:MAX_SEEDS]],
    )


def neutral(study: Study, culture: str) -> Grid | None:
    """The base and the fullest variant under prompts that name no culture; None where there are none."""
    for seed in study.seeds:
        runs = [run for run in _drawn(study, culture, seed) if run.scores.get("neutral")]
        front = front_of(runs)
        if len(front) > 1:
            prompts = _prompts(front[-1].scores["neutral"])
            lines = [_line(run, list(prompts), 0, run.scores["neutral"]) for run in front]
            return Grid(culture, seed, list(prompts.values()), [], lines, [], [], [])
    return None


def sample_files(study: Study, culture: str) -> list[tuple[str, list[Path]]]:
    """(variant, the files of its samples) for a contact sheet; the first sample of each prompt."""
    sheets = []
    for run in _one_a_variant(study, culture):
        first = [samples[0]["file"] for samples in list(_by_place(run.samples).values())[:MAX_PROMPTS]]
        sheets.append((run.variant, [thumbnails.sample(run.folder, file) for file in first]))
    return sheets


def training_pairs(run: StudyRun) -> list[TrainingPair]:
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
        return []  # the report does without these: a broken set was refused when the study was planned
    drawn = folder_of(config, config.data.digest) / "negatives"
    pairs = []
    for i, row in enumerate(rows[: config.data.pairs]):
        if not row.faults:
            image, *given = row.images
            negative = given[0] if given else drawn / f"{i:05d}-0.png"
            pairs.append(TrainingPair(row.values["text"], image, negative if negative.exists() else None))
    return pairs


def front_of(runs: Sequence[StudyRun]) -> list[StudyRun]:
    """The untrained base and the run with the most terms in its loss: what a reader compares first."""
    if not runs:
        return []
    ranks = [Variant[run.config["variant"]] for run in runs]
    order = list(Variant)
    fullest = runs[max(range(len(runs)), key=lambda i: order.index(ranks[i]))]
    base = next((run for run, rank in zip(runs, ranks, strict=True) if rank is Variant.base), fullest)
    return [base, fullest] if base is not fullest else [fullest]


def _drawn(study: Study, culture: str, seed: int) -> list[StudyRun]:
    """The culture's runs of a seed that have samples, in the variants' order."""
    runs = [run for run in study.of(culture=culture) if run.seed == seed and run.samples]
    return sorted(runs, key=lambda run: study.variants.index(run.variant))


def _one_a_variant(study: Study, culture: str) -> list[StudyRun]:
    """Each variant's scored run of the lowest seed."""
    first: dict[str, StudyRun] = {}
    for run in sorted(study.of(culture=culture), key=lambda run: run.seed):
        if run.samples:
            first.setdefault(run.variant, run)
    return [first[variant] for variant in study.variants if variant in first]


def _by_place(rows: Sequence[Sample]) -> dict[str, list[Sample]]:
    """The samples of each prompt, under the prompt's place (`p03`)."""
    by_place: dict[str, list[Sample]] = {}
    for row in rows:
        by_place.setdefault(Path(row["file"]).name.partition("-")[0], []).append(row)
    return by_place


def _prompts(rows: Sequence[Sample]) -> dict[str, str]:
    """Each column's prompt by its place."""
    return {
        place: str(samples[0]["prompt"]) for place, samples in list(_by_place(rows).items())[:MAX_PROMPTS]
    }


def _line(run: StudyRun, places: Sequence[str], n: int, rows: Sequence[Sample] | None = None) -> GridRow:
    """The run's `n`-th sample of each prompt; of `rows`, where others than the run's samples are meant."""
    known = [s for s in run.samples if s.get("default_style") is not None and rows is None]
    note = f"{sum(bool(s['default_style']) for s in known)} of {len(known)} in default style" if known else ""
    by_place = _by_place(run.samples if rows is None else rows)
    return GridRow(run.variant, note, [_cell(run, place, by_place.get(place, [])[n:]) for place in places])


def _cell(run: StudyRun, place: str, samples: Sequence[Sample]) -> GridCell:
    """The first of what was found; a gap where nothing was."""
    if not samples:
        return GridCell(None, f"{run.variant}: {place}")
    sample, verdict = samples[0], _verdict(samples[0])
    uri = thumbnails.data_uri(thumbnails.sample(run.folder, sample["file"]))
    return GridCell(uri, f"{run.variant}: {sample['prompt']}{STYLE_NOTES.get(verdict, '')}", verdict)


def _verdict(sample: Sample) -> str:
    if sample.get("in_style") is None:
        return ""
    return "in-style" if sample["in_style"] else "default" if sample["default_style"] else "other"


def _given(run: StudyRun, prompts: list[str]) -> Panel:
    """A training image for each column, of the same caption where there is one, and the negative beside it."""
    chosen = list(_for_each(training_pairs(run), prompts))
    if not chosen:
        return []
    images = [GridCell(thumbnails.data_uri(p.image), f"training image: {p.caption}") for p in chosen]
    negatives = [
        GridCell(thumbnails.data_uri(p.negative) if p.negative else None, f"negative: {p.caption}")
        for p in chosen
    ]
    lines = [GridRow("training", "what the culture’s set shows", images)]
    if any(cell.uri for cell in negatives):
        lines.append(GridRow("negative", "what the training moves away from", negatives))
    return lines


def _for_each(pairs: list[TrainingPair], prompts: list[str]) -> Iterator[TrainingPair]:
    free = list(pairs)
    for prompt in prompts[: len(pairs)]:
        pair = next((pair for pair in free if pair.caption == prompt), free[0])
        free.remove(pair)
        yield pair
