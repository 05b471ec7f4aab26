"""Surveys, made by hand: their pages, and the folder that `survey make` leaves."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from scoft_hpc.human_eval import pages as keys
from scoft_hpc.human_eval import survey_yaml
from scoft_hpc.human_eval.pages import Page, PageImage
from scoft_hpc.human_eval.survey import Survey
from scoft_hpc.results.study import Study
from scoft_hpc.study import atomic
from scoft_hpc.study.paths import StudyDir
from studies import plan_study

SYSTEMS = ("base", "m", "mp", "mpc")


def pages_of(*cultures: str, number: int = 20, systems: tuple[str, ...] = SYSTEMS) -> tuple[Page, ...]:
    """Pages of five prompts, their images under names that tell the test what they are."""
    return tuple(
        Page(
            id=f"{culture}-{i:02d}",
            culture=culture,
            prompt=f"a thing {i % 5} in {culture}",
            seed=0,
            sample=i // 5,
            images=tuple(
                PageImage(
                    f"{culture}-{i:02d}-{system}.png", system, f"{culture}-{system}-s0", f"samples/p{i}.png"
                )
                for system in systems
            ),
        )
        for culture in cultures
        for i in range(number)
    )


def pages_from(study: Study, systems: Sequence[str]) -> tuple[Page, ...]:
    """A page of each sample that the first seed's runs of a study were scored by."""
    pages = []
    for culture in study.cultures:
        runs = {run.variant: run for run in reversed(list(study.of(culture=culture)))}
        for k, sample in enumerate(runs[systems[0]].samples):
            file = str(sample["file"])
            images = tuple(PageImage(f"{culture}{k}{s}", s, runs[s].run_id, file) for s in systems)
            pages.append(Page(f"{culture}-{k:02d}", culture, str(sample["prompt"]), 0, 0, images))
    return tuple(pages)


def create_survey_study(output: Path, survey: Survey, pages: Sequence[Page]) -> StudyDir:
    """The study of a survey, nothing of it trained, and its survey folder as `survey make` leaves it."""
    study = plan_study(output, list(survey.quotas), name=survey.study)
    folder = study.survey
    folder.images.mkdir(parents=True)
    for page in pages:
        for image in page.images:
            Image.new("RGB", (8, 8)).save(folder.images / image.name)
    atomic.write_private(folder.secret, secrets.token_hex(32).encode())
    survey_yaml.write(folder.file, survey)
    keys.write(folder.pages, survey.study, pages)
    return study
