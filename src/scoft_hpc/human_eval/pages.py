"""The pages of a survey: images of the same prompt and seed by every system, and which system drew which image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import TypeAdapter

from scoft_hpc.errors import RatingError
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import SurveyDir

VERSION = 1
"""Version of pages.json."""


@dataclass(frozen=True)
class PageImage:
    """An image as raters get it. `name` is opaque; `system` is the secret that no rater may see."""

    name: str
    system: str
    run_id: str
    file: str


@dataclass(frozen=True)
class Page:
    """One prompt × seed × sample of a culture; `images` in the survey's order of systems."""

    id: str
    culture: str
    prompt: str
    seed: int
    sample: int
    images: tuple[PageImage, ...]


def write(file: Path, study: str, pages: Sequence[Page]) -> None:
    """Write pages.json, with which the survey can be served."""
    content = {"version": VERSION, "study": study, "pages": [asdict(page) for page in pages]}
    atomic.write_json(file, content)


def read(folder: SurveyDir) -> tuple[Page, ...]:
    """Read pages.json.

    Raises:
        RatingError: if it is missing or empty, or cannot be read.
    """
    remedy = "`scoft-hpc survey make` creates them"
    try:
        content = json.loads(folder.pages.read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            raise RatingError(
                f"{folder.pages} is of version {content['version']}; this scoft-hpc reads version {VERSION}: read it "
                f"with the one that wrote it."
            )
        pages = TypeAdapter(tuple[Page, ...]).validate_python(content["pages"])
    except FileNotFoundError:
        raise RatingError(f"there are no pages in {folder.path}; {remedy}.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RatingError(f"{folder.pages} cannot be read ({error!r}); {remedy} again.") from None
    if not pages:
        raise RatingError(f"{folder.pages} holds no pages; {remedy} again.")
    return pages
