"""Export a survey's answers as CSV, Parquet and a codebook, without any text that a rater wrote."""

from __future__ import annotations

import hashlib
import io
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from jinja2 import Environment, StrictUndefined

from scoft_hpc.human_eval import spreadsheets
from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.survey import AFFILIATIONS, Survey
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import SurveyDir

SUPPRESSED = "suppressed"

Row = dict[str, Any]
"""Column -> value; other keys are not exported."""


@dataclass(frozen=True)
class Column:
    """`levels`: the possible values, if they are countable and the same in every survey."""

    name: str
    type: pa.DataType
    meaning: str
    levels: str = ""


KINDS = ", ".join(kind.value for kind in Kind)
ANSWERS = (
    Column("rater", pa.int32(), "number of the rater in these files, drawn at random"),
    Column("culture", pa.string(), "community whose images the rater was asked about"),
    Column(
        "page", pa.string(), "the page's id, in pages.csv; a repeat has the id of the page that it repeats"
    ),
    Column("position", pa.int32(), "place of the page in the rater's sequence, from 0"),
    Column("kind", pa.string(), "why the page was shown; on a reversed page rank 1 is the worst", KINDS),
    Column("question", pa.string(), "the question; rank 1 is the better end"),
    Column("system", pa.string(), "variant that drew the image"),
    Column(
        "rank",
        pa.int32(),
        "from 1; equal ranks are ties; empty if the rater cannot judge",
        "1 to the number of systems",
    ),
    Column("rating", pa.int32(), "absolute rating, 1 is the worst; empty without a rating", "1, 2, 3, 4, 5"),
    Column(
        "offended", pa.bool_(), "the image offends the rater; their reasons are not exported", "true, false"
    ),
    Column("cannot_judge", pa.bool_(), "the rater cannot judge this page under this question", "true, false"),
    Column("seconds", pa.float64(), "duration of the answer to a tenth; 0 if unknown"),
)
PAGES = (
    Column("page", pa.string(), "the page's id"),
    Column("culture", pa.string(), "community that the prompt is about"),
    Column("prompt", pa.string(), "the description that raters read beside the images"),
    Column("seed", pa.int32(), "of the runs that drew the images"),
    Column("sample", pa.int32(), "number of the sample of this prompt, from 0"),
    Column("system", pa.string(), "variant that drew the image"),
    Column("run_id", pa.string(), "run that drew the image"),
    Column("file", pa.string(), "the sample in the run's folder"),
    Column("image", pa.string(), "the image that raters saw, in images/"),
)
RATERS = (
    Column("rater", pa.int32(), "number of the rater in these files, drawn at random"),
    Column("culture", pa.string(), "community whose images the rater was asked about"),
    Column(
        "affiliation",
        pa.string(),
        "the rater's own description of the tie to it",
        ", ".join((*AFFILIATIONS, SUPPRESSED)),
    ),
    Column("language", pa.string(), f"language that the rater chose, or {SUPPRESSED}"),
    Column("finished", pa.bool_(), "every page is answered or skipped", "true, false"),
)

CODEBOOK = Path(__file__).with_name("codebook.md.j2")


def write(
    folder: SurveyDir,
    survey: Survey,
    pages: Sequence[Page],
    participants: Sequence[Participant],
    judgements: Sequence[Judgement],
) -> None:
    """Write the files into `SurveyDir.exports`: answers (twice), pages, raters and the codebook."""
    has_secret = folder.secret.exists()  # without it, raters have other numbers in every export
    numbers = _numbers(participants, folder.secret.read_bytes() if has_secret else secrets.token_bytes(32))
    raters = sorted((replace(one, rater=numbers[one.rater]) for one in participants), key=attrgetter("rater"))
    judged = sorted((replace(one, rater=numbers[one.rater]) for one in judgements), key=attrgetter("rater"))
    answers = list(_answers(judged, survey))
    files = {
        "answers.csv": _csv(ANSWERS, answers),
        "answers.parquet": _parquet(ANSWERS, answers),
        "pages.csv": _csv(PAGES, _pages(pages)),
        "raters.csv": _csv(RATERS, _raters(raters, survey.small)),
        "codebook.md": _codebook(survey).encode(),
    }
    for name, content in files.items():
        atomic.write_bytes(folder.exports / name, content)


def suppressed(participants: Iterable[Participant], small: int) -> set[tuple[str, str, str]]:
    """The cells (culture, affiliation, language) whose raters are exported without affiliation and language.

    These are the cells of fewer than `small` raters, and the next smallest of the culture until `small` raters, or all,
    are hidden together: two cells or more, so that the culture's total does not reveal the size of one.
    """
    sizes = Counter((one.culture, one.affiliation, one.language) for one in participants)
    hidden: set[tuple[str, str, str]] = set()
    for culture in {culture for culture, _, _ in sizes}:
        cells = sorted((size, cell) for cell, size in sizes.items() if cell[0] == culture)
        if cells[0][0] >= small:
            continue
        raters = 0
        for size, cell in cells:
            if size >= small and raters >= small:
                break
            hidden.add(cell)
            raters += size
    return hidden


def _numbers(participants: Iterable[Participant], secret: bytes) -> dict[int, int]:
    """Random numbers, the same for the same secret: those of the survey reveal the order of enrolment."""
    shuffled = sorted(
        (participant.rater for participant in participants),
        key=lambda number: hashlib.sha256(secret + b"%d" % number).digest(),
    )
    return {number: place for place, number in enumerate(shuffled, 1)}


def _answers(judgements: Iterable[Judgement], survey: Survey) -> Iterator[Row]:
    for judgement in judgements:
        for system in survey.systems:
            yield {
                **vars(judgement),
                "kind": judgement.kind.value,
                "system": system,
                "rank": None if judgement.ranks is None else judgement.ranks[system],
                "rating": judgement.ratings.get(system),
                "offended": system in judgement.offended,
                "cannot_judge": judgement.ranks is None,
                "seconds": round(judgement.seconds, 1),
            }


def _pages(pages: Iterable[Page]) -> Iterator[Row]:
    for page in pages:
        for image in page.images:
            yield {**vars(page), **vars(image), "page": page.id, "image": image.name}


def _raters(participants: Sequence[Participant], small: int) -> Iterator[Row]:
    hidden_cells = suppressed(participants, small)
    for participant in participants:
        is_hidden = (participant.culture, participant.affiliation, participant.language) in hidden_cells
        hidden = dict.fromkeys(("affiliation", "language"), SUPPRESSED) if is_hidden else {}
        yield {**vars(participant), **hidden}


def _csv(columns: Sequence[Column], rows: Iterable[Row]) -> bytes:
    return spreadsheets.csv_text([column.name for column in columns], rows).encode()


def _parquet(columns: Sequence[Column], rows: list[Row]) -> bytes:
    schema = pa.schema([pa.field(column.name, column.type) for column in columns])
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), content)
    return content.getvalue()


def _codebook(survey: Survey) -> str:
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    environment.filters["cell"] = lambda text: " ".join(text.split()).replace("|", "\\|")
    template = environment.from_string(CODEBOOK.read_text(encoding="utf-8"))
    return template.render(survey=survey, answers=ANSWERS, pages=PAGES, raters=RATERS, suppressed=SUPPRESSED)
