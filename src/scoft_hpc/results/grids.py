"""Sample grids: a row a variant, the same prompt and starting noise down each column."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scoft_hpc.results import pictures
from scoft_hpc.results.study import Run, Study

COLUMNS = 8
"""Prompts shown of a culture."""
PANELS = 3
"""Samples shown of a prompt: the first in the open, the others to be unfolded."""


@dataclass(frozen=True)
class Cell:
    """A picture, or none; `verdict` is `in-style`, `default`, `other`, or empty where the truth is not known."""

    uri: str | None
    alt: str
    verdict: str = ""


@dataclass(frozen=True)
class Line:
    label: str
    note: str
    cells: list[Cell]


@dataclass(frozen=True)
class Panel:
    """One sample of each prompt."""

    lines: list[Line]


@dataclass(frozen=True)
class Grid:
    """A culture's panels; `pairs` are training images with, where there are any, the negatives drawn for them."""

    culture: str
    prompts: list[str]
    pairs: list[Line]
    panels: list[Panel]


def grid(study: Study, culture: str) -> Grid | None:
    """The culture's grid, of its lowest seed; None where nothing has been drawn yet."""
    runs = _one_a_variant(study, culture)
    if not runs:
        return None
    prompts = list(dict.fromkeys(s["prompt"] for run in runs for s in run.samples))[:COLUMNS]
    by_prompt = {
        run.run_id: {p: [s for s in run.samples if s["prompt"] == p] for p in prompts} for run in runs
    }
    depth = max((len(found) for columns in by_prompt.values() for found in columns.values()), default=0)
    panels = [
        Panel([_line(run, [_nth(by_prompt[run.run_id][p], n) for p in prompts], prompts) for run in runs])
        for n in range(min(depth, PANELS))
    ]
    return Grid(culture, prompts, _pairs(study, runs[0], prompts), panels)


def sample_files(study: Study, culture: str) -> list[tuple[str, list[Path]]]:
    """(variant, the files of its samples) for a contact sheet; the first sample of each prompt."""
    sheets = []
    for run in _one_a_variant(study, culture):
        first = {sample["prompt"]: sample["file"] for sample in reversed(run.samples)}
        prompts = list(dict.fromkeys(sample["prompt"] for sample in run.samples))[:COLUMNS]
        sheets.append((run.variant, [pictures.sample(run.folder, first[prompt]) for prompt in prompts]))
    return sheets


def _one_a_variant(study: Study, culture: str) -> list[Run]:
    """Each variant's scored run of the lowest seed."""
    first: dict[str, Run] = {}
    for run in sorted(study.of(culture=culture), key=lambda run: run.seed):
        if run.samples:
            first.setdefault(run.variant, run)
    return [first[variant] for variant in study.variants if variant in first]


def _nth(found: list[dict[str, Any]], n: int) -> dict[str, Any] | None:
    return found[n] if n < len(found) else None


def _line(run: Run, chosen: list[dict[str, Any] | None], prompts: list[str]) -> Line:
    known = [s for s in run.samples if s.get("default_style") is not None]
    note = f"{sum(s['default_style'] for s in known)} of {len(known)} in default style" if known else ""
    cells = []
    for sample, prompt in zip(chosen, prompts, strict=True):
        verdict = _verdict(sample) if sample else ""
        said = {"in-style": ", in style", "default": ", default style", "other": ", another style"}.get(
            verdict, ""
        )
        uri = pictures.data_uri(pictures.sample(run.folder, sample["file"])) if sample else None
        cells.append(Cell(uri, f"{run.variant}: {prompt}{said}", verdict))
    return Line(run.variant, note, cells)


def _verdict(sample: dict[str, Any]) -> str:
    if sample.get("in_style") is None:
        return ""
    return "in-style" if sample["in_style"] else "default" if sample["default_style"] else "other"


def _pairs(study: Study, run: Run, prompts: list[str]) -> list[Line]:
    """A training image for each column, of the same caption where there is one, and the negative drawn for it."""
    found = list(_training(study, run))
    if not found:
        return []
    chosen: list[tuple[str, Path, Path | None]] = []
    for prompt in prompts:
        free = [pair for pair in found if pair not in chosen]
        if free:
            chosen.append(next((pair for pair in free if pair[0] == prompt), free[0]))
    images = [Cell(pictures.data_uri(image), f"training image: {text}") for text, image, _ in chosen]
    lines = [Line("training", "what the culture's set shows", images)]
    negatives = [
        Cell(pictures.data_uri(negative) if negative else None, f"negative: {text}")
        for text, _, negative in chosen
    ]
    if any(cell.uri for cell in negatives):
        lines.append(Line("negative", "what the base drew for the same caption", negatives))
    return lines


def _training(study: Study, run: Run) -> Iterator[tuple[str, Path, Path | None]]:
    """(caption, image, negative or None) of the culture's pairs, if its folder can be seen from here."""
    data, output = run.config.get("data", {}), study.folder.path.parent
    roots = [Path(data["root"])] if data.get("root") else sorted((output / "data").glob("*"))
    folder = next((root / run.culture for root in roots if (root / run.culture / "train").is_dir()), None)
    if folder is None:
        return
    caches = sorted((output / "cache").glob(f"{run.culture}-*/negatives"))
    drawn = (
        caches[0] if len(caches) == 1 else None
    )  # several: made under other settings, and not told apart here
    try:
        lines = (folder / "train" / "metadata.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines if line.strip()]
        for i, row in enumerate(rows):
            image = folder / "train" / row["file_name"]
            given = row.get("negative_imgpath") or []
            negative = folder / given[0] if given else drawn / f"{i:05d}-0.png" if drawn else None
            if _inside(image, folder) and (negative is None or given == [] or _inside(negative, folder)):
                yield str(row["text"]), image, negative
    except (OSError, ValueError, KeyError, TypeError):
        return  # the pictures are an ornament here: a broken set has been refused when the study was planned


def _inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())
