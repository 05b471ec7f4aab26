"""A survey's answers for other programs: CSV, Parquet and a codebook. No words of a rater's own leave the database."""

from __future__ import annotations

import csv
import hashlib
import io
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from scoft_hpc.human_eval.judgements import Judgement, Kind, Participant
from scoft_hpc.human_eval.pages import Page
from scoft_hpc.human_eval.spreadsheets import Cell, neutral
from scoft_hpc.human_eval.survey import AFFILIATIONS, Survey
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import SurveyDir

SUPPRESSED = "suppressed"

Row = dict[str, Cell]


@dataclass(frozen=True)
class Column:
    """`levels`: the values that there can be, where they can be counted."""

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
    Column("kind", pa.string(), "why the page was shown; on a reversed one rank 1 is the worst", KINDS),
    Column("question", pa.string(), "what was asked; rank 1 is the better end"),
    Column("system", pa.string(), "variant that drew the image"),
    Column(
        "rank",
        pa.int32(),
        "from 1; equal ranks are ties; empty if the rater cannot judge",
        "1 to the number of systems",
    ),
    Column("rating", pa.int32(), "absolute rating, 1 the worst; empty where none was given", "1, 2, 3, 4, 5"),
    Column(
        "offended", pa.bool_(), "the image offends the rater; their reasons are not exported", "true, false"
    ),
    Column("cannot_judge", pa.bool_(), "the rater cannot judge this page by this question", "true, false"),
    Column("seconds", pa.float64(), "time of the answer, to a tenth; 0 where it is not known"),
)
PAGES = (
    Column("page", pa.string(), "the page's id"),
    Column("culture", pa.string(), "community that the prompt is about"),
    Column("prompt", pa.string(), "what raters read beside the images"),
    Column("seed", pa.int32(), "of the runs that drew the images"),
    Column("sample", pa.int32(), "number of the sample of this prompt, from 0"),
    Column("system", pa.string(), "variant that drew the image"),
    Column("run_id", pa.string(), "run that drew the image"),
    Column("file", pa.string(), "the sample in the run's folder"),
    Column("image", pa.string(), "the image as raters got it, in images/"),
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

HEAD = """\
# Codebook: {title}

Study {study}. Unconfirmed answers, skipped pages and raters who have withdrawn are not in these files, nor any words of
a rater's own.

In raters.csv, affiliation and language read `{suppressed}` where fewer than {small} raters of a culture share both;
others of the culture are hidden with them, so that its total does not tell the number.

A CSV cell that a spreadsheet would take for a formula has an apostrophe before it."""


def write(
    folder: SurveyDir,
    survey: Survey,
    pages: Sequence[Page],
    participants: Sequence[Participant],
    judgements: Sequence[Judgement],
) -> None:
    """Write the files into `SurveyDir.exports`: answers (twice), pages, raters and the codebook."""
    has_secret = folder.secret.exists()  # or else raters have other numbers each time
    numbers = _numbers(participants, folder.secret.read_bytes() if has_secret else secrets.token_bytes(32))
    people = sorted((replace(one, rater=numbers[one.rater]) for one in participants), key=attrgetter("rater"))
    exported = sorted((replace(one, rater=numbers[one.rater]) for one in judgements), key=attrgetter("rater"))
    answers = list(_answers(exported, survey))
    files = {
        "answers.csv": _csv(ANSWERS, answers),
        "answers.parquet": _parquet(ANSWERS, answers),
        "pages.csv": _csv(PAGES, _pages(pages)),
        "raters.csv": _csv(RATERS, _raters(people, survey.small)),
        "codebook.md": _codebook(survey).encode(),
    }
    for name, content in files.items():
        atomic.write_bytes(folder.exports / name, content)


def suppressed(participants: Iterable[Participant], small: int) -> set[tuple[str, str, str]]:
    """The cells (culture, affiliation, language) whose raters are exported without the latter two.

    Those of fewer than `small` raters, and the next smallest ones of the culture until `small` raters or all are hidden
    together: these are two cells or more, so that what is left of the culture's total tells no cell's number.
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
    """Numbers in an order that only the secret gives: the survey's own would tell who came first."""
    drawn = sorted(
        (one.rater for one in participants),
        key=lambda number: hashlib.sha256(secret + b"%d" % number).digest(),
    )
    return {number: place for place, number in enumerate(drawn, 1)}


def _answers(judgements: Iterable[Judgement], survey: Survey) -> Iterator[Row]:
    for one in judgements:
        for system in survey.systems:
            yield {
                "rater": one.rater,
                "culture": one.culture,
                "page": one.page,
                "position": one.position,
                "kind": one.kind.value,
                "question": one.question,
                "system": system,
                "rank": None if one.ranks is None else one.ranks[system],
                "rating": one.ratings.get(system),
                "offended": system in one.offended,
                "cannot_judge": one.ranks is None,
                "seconds": round(one.seconds, 1),
            }


def _pages(pages: Iterable[Page]) -> Iterator[Row]:
    for page in pages:
        for image in page.images:
            yield {
                "page": page.id,
                "culture": page.culture,
                "prompt": page.prompt,
                "seed": page.seed,
                "sample": page.sample,
                "system": image.system,
                "run_id": image.run_id,
                "file": image.file,
                "image": image.name,
            }


def _raters(participants: Sequence[Participant], small: int) -> Iterator[Row]:
    hidden = suppressed(participants, small)
    for one in participants:
        hide = (one.culture, one.affiliation, one.language) in hidden
        yield {
            "rater": one.rater,
            "culture": one.culture,
            "affiliation": SUPPRESSED if hide else one.affiliation,
            "language": SUPPRESSED if hide else one.language,
            "finished": one.finished,
        }


def _csv(columns: Sequence[Column], rows: Iterable[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    for row in rows:
        cells = (neutral(row[column.name]) for column in columns)
        writer.writerow(str(cell).lower() if isinstance(cell, bool) else cell for cell in cells)
    return text.getvalue().encode()


def _parquet(columns: Sequence[Column], rows: list[Row]) -> bytes:
    schema = pa.schema([pa.field(column.name, column.type) for column in columns])
    content = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), content)
    return content.getvalue()


def _codebook(survey: Survey) -> str:
    head = HEAD.format(
        title=_plain(survey.title), study=survey.study, small=survey.small, suppressed=SUPPRESSED
    )
    lines = [head]
    files = {
        "answers.csv and answers.parquet: a row an image of an answer": ANSWERS,
        "pages.csv": PAGES,
        "raters.csv": RATERS,
    }
    for title, columns in files.items():
        lines.append(f"## {title}")
        table = ["| column | type | meaning | levels |", "| --- | --- | --- | --- |"]
        for one in columns:
            levels = one.levels or _levels(one.name, survey)
            table.append(f"| {one.name} | {one.type} | {one.meaning} | {levels} |")
        lines.append("\n".join(table))
    return "\n\n".join(lines) + "\n"


def _levels(column: str, survey: Survey) -> str:
    """The levels that the survey decides."""
    known: dict[str, Iterable[Any]] = {
        "culture": survey.quotas,
        "question": [question.name for question in survey.questions],
        "system": survey.systems,
        "language": survey.languages,
    }
    return _plain(", ".join(known.get(column, ())))


def _plain(text: str) -> str:
    """Without what Markdown's tables would stumble on."""
    return " ".join(text.split()).replace("|", "\\|")
