"""The pages of a survey: the same prompt and seed, drawn by every system. The key to who drew what stays here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Picture:
    """An image as raters get it. `name` is opaque; `system` is the secret that no rater may see."""

    name: str
    system: str
    run_id: str
    file: str


@dataclass(frozen=True)
class Page:
    """One prompt × seed × sample of a culture; `pictures` in the survey's order of systems."""

    id: str
    culture: str
    prompt: str
    seed: int
    sample: int
    pictures: tuple[Picture, ...]
