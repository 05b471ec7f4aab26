"""Sample the survey pages from a study's samples."""

from __future__ import annotations

import hashlib
import hmac
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from scoft_hpc.errors import RatingError
from scoft_hpc.human_eval import images
from scoft_hpc.human_eval.pages import Page, PageImage
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.results import thumbnails
from scoft_hpc.results.study import Study, StudyRun

SAMPLE = re.compile(r"p(\d+)-s(\d+)\.\w+")
MIN_RATERS_PER_PAGE = 5
"""Raters per page if the quotas allow, as agreement is measured between raters of the same page."""


@dataclass(frozen=True)
class SampledPages:
    """The survey's pages.

    Attributes:
        sources: image name -> file of the sample.
        complete: culture -> number of complete pages, from which `pages` were sampled.
        missing: reason -> number of incomplete pages.
    """

    pages: tuple[Page, ...]
    sources: Mapping[str, Path]
    complete: Mapping[str, int]
    missing: Mapping[str, int]


def sample_pages(study: Study, survey: Survey, secret: bytes) -> SampledPages:
    """A balanced set of pages for each culture of the survey.

    Raises:
        RatingError: if a culture has no complete page.
    """
    missing: Counter[str] = Counter()
    candidates = {
        culture: list(_complete(study, survey, culture, secret, missing)) for culture in survey.quotas
    }
    if empty := [culture for culture, pages in candidates.items() if not pages]:
        why = "".join(f"\n  {count} × {reason}" for reason, count in missing.items())
        raise RatingError(
            f"{', '.join(empty)}: no page has an image of each of {', '.join(survey.systems)}. Finish these runs "
            f"(`scoft-hpc status {study.name}`), or choose others with systems=… or culture=….{why}"
        )
    pages = [
        page
        for culture, quota in survey.quotas.items()
        for page in balanced(
            candidates[culture],
            max(survey.pages, quota * survey.pages // MIN_RATERS_PER_PAGE),
            random.Random(f"{survey.seed}/{culture}/pages"),
        )
    ]
    folders = {run.run_id: run.folder for run in study.runs}
    sources = {
        image.name: thumbnails.sample(folders[image.run_id], image.file)
        for page in pages
        for image in page.images
    }
    complete = {culture: len(pages_of_culture) for culture, pages_of_culture in candidates.items()}
    return SampledPages(tuple(pages), sources, complete, missing)


def balanced(pages: Sequence[Page], wanted: int, rng: random.Random) -> list[Page]:
    """At most `wanted` of the pages, with prompts, seeds and samples as equally frequent as possible."""
    remaining = rng.sample(pages, len(pages))
    chosen: list[Page] = []
    counts: Counter[tuple[str, str | int]] = Counter()
    while remaining and len(chosen) < wanted:
        page = min(remaining, key=lambda item: [counts[level] for level in _levels(item)])
        remaining.remove(page)
        chosen.append(page)
        counts.update(_levels(page))
    return sorted(chosen, key=lambda page: page.id)


def _levels(page: Page) -> list[tuple[str, str | int]]:
    """The levels of the factors over which pages are balanced, the most important first."""
    return [("prompt", page.prompt), ("seed", page.seed), ("sample", page.sample)]


def opaque(secret: bytes, *parts: str | int) -> str:
    """A reproducible name that reveals nothing about the parts without the secret."""
    return hmac.new(secret, "/".join(map(str, parts)).encode(), hashlib.sha256).hexdigest()[:32]


def _complete(
    study: Study, survey: Survey, culture: str, secret: bytes, missing: Counter[str]
) -> Iterator[Page]:
    """The culture's complete pages; counts the reasons why others are incomplete in `missing`."""
    for seed in study.seeds:
        runs = {run.variant: run for run in study.of(culture=culture) if run.seed == seed}
        rows = {system: _by_place(runs[system]) if system in runs else {} for system in survey.systems}
        places = sorted({place for row in rows.values() for place in row})
        for system in survey.systems:
            if not rows[system]:
                state = (
                    f"is {runs[system].status.value}, without scores" if system in runs else "is not planned"
                )
                missing[f"{culture} {system} seed {seed} {state}"] += max(1, len(places))
        if not all(rows.values()):
            continue
        for place in places:
            if reason := _fault({system: row.get(place) for system, row in rows.items()}, runs):
                missing[f"{culture} seed {seed}: {reason}"] += 1
                continue
            yield Page(
                id=opaque(secret, "page", culture, seed, *place),
                culture=culture,
                prompt=rows[survey.systems[0]][place][1],
                seed=seed,
                sample=place[1],
                images=tuple(
                    PageImage(
                        name=f"{opaque(secret, 'image', runs[system].run_id, row[place][0])}.png",
                        system=system,
                        run_id=runs[system].run_id,
                        file=row[place][0],
                    )
                    for system, row in rows.items()
                ),
            )


def _by_place(run: StudyRun) -> dict[tuple[int, int], tuple[str, str]]:
    """(index of the prompt, number of the sample) -> (file, prompt), of the run's scored samples."""
    by_place = {}
    for sample in run.samples:
        if match := SAMPLE.fullmatch(Path(str(sample["file"])).name):
            by_place[int(match[1]), int(match[2])] = str(sample["file"]), str(sample["prompt"])
    return by_place


def _fault(row: Mapping[str, tuple[str, str] | None], runs: Mapping[str, StudyRun]) -> str:
    """Why the samples of a place are not a complete page; empty if they are."""
    for system, image in row.items():
        if image is None:
            return f"{system} has no such sample"
        if not images.readable(thumbnails.sample(runs[system].folder, image[0])):
            return f"{system}'s image cannot be read"
    if len({image[1] for image in row.values() if image}) > 1:
        return "the systems have different prompts"
    return ""
