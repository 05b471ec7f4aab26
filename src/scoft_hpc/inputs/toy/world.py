"""The toy world's two distributions: the biased *web* on which the base was pre-trained, and a culture's curated set.

On the web a caption that names a culture comes, mostly, with a picture in the default style: the bias that
fine-tuning is to correct. A culture's curated set shows the culture's own style only, on disk in CCUB's form.
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from scoft_hpc.errors import DataError
from scoft_hpc.inputs.toy.scenes import (
    CULTURES,
    PLACES,
    STYLES,
    SUBJECTS,
    Scene,
    blip_text,
    descriptive_text,
    own_style,
    render,
    text,
)
from scoft_hpc.study.atomic import write_bytes, write_text

ASSETS = Path(__file__).with_name("assets")
"""The toy world's networks, which ship with the package."""
RECIPE = "toy-world-2"
"""Changes whenever a scene, a caption or a distribution changes; what was made from another recipe is stale."""

CULTURE_SHARE, GENERIC_SHARE = 0.5, 0.3
"""Shares of web captions that name a culture and that name none; the rest names the style by its look."""
CULTURE_DEFAULT, CULTURE_OWN = 0.925, 0.045
"""Of the web pictures captioned with a culture: shares in the default style and in its own; the rest in any style."""
GENERIC_DEFAULT = 0.85
"""Share of the default style in web pictures with a generic caption; the rest is spread over all styles."""


def _nuisance(rng: np.random.Generator, subject: str, style: int, culture: str | None) -> Scene:
    """A scene of the given subject and style with everything else drawn at random."""
    place = PLACES[rng.integers(len(PLACES))] if rng.random() < 0.5 else None
    red, green, blue = rng.uniform(0.93, 1.04, size=3).tolist()
    return Scene(
        subject=subject,
        style=style,
        culture=culture,
        place=place,
        size=float(rng.uniform(0.50, 0.72)),
        x=float(rng.uniform(-0.08, 0.08)),
        y=float(rng.uniform(-0.06, 0.03)),
        tint=(red, green, blue),
    )


def any_scene(rng: np.random.Generator) -> Scene:
    """A scene with subject and style uniform, and no culture: what readers of pictures learn from."""
    return _nuisance(rng, SUBJECTS[rng.integers(len(SUBJECTS))], int(rng.integers(len(STYLES))), None)


def web_scene(rng: np.random.Generator) -> tuple[Scene, str]:
    """A draw from the web: a scene and its caption."""
    scene = any_scene(rng)
    kind = rng.random()
    if kind < CULTURE_SHARE:
        culture = CULTURES[rng.integers(len(CULTURES))]
        which = rng.random()
        if which < CULTURE_DEFAULT:
            scene = replace(scene, style=0)
        elif which < CULTURE_DEFAULT + CULTURE_OWN:
            scene = replace(scene, style=own_style(culture))
        scene = replace(scene, culture=culture)
        return scene, text(scene)
    if kind < CULTURE_SHARE + GENERIC_SHARE:
        if rng.random() < GENERIC_DEFAULT:
            scene = replace(scene, style=0)
        return scene, text(scene) if rng.random() < 0.5 else blip_text(scene)
    return scene, descriptive_text(scene)


def curated_scenes(culture: str, split: str, count: int) -> list[Scene]:
    """`count` scenes of the culture in its own style, subjects in turn. `split` is "train" or "test"."""
    rng = np.random.default_rng([CULTURES.index(culture), ("train", "test").index(split)])
    return [_nuisance(rng, SUBJECTS[i % len(SUBJECTS)], own_style(culture), culture) for i in range(count)]


def write_culture(root: Path, culture: str, pairs: int = 28, held_out: int = 28) -> Path:
    """Write the culture's curated set in CCUB's form and return its folder, `root`/`culture`.

    `train/` and `test/` each hold `images/` and, written last, `metadata.jsonl`: rows of `file_name` (relative to the
    split's folder), `text`, `blip_text` and an empty `negative_imgpath`, since negatives are what a base model would
    draw. The same arguments write the same files. Raises DataError for a culture that the world does not have.
    """
    if culture not in CULTURES:
        raise DataError(
            f"the toy world has no culture {culture!r}; it has {', '.join(CULTURES)}. "
            "Choose one of these, or use data=folder for pictures of your own."
        )
    folder = root / culture
    for split, count in (("train", pairs), ("test", held_out)):
        rows = []
        for i, scene in enumerate(curated_scenes(culture, split, count)):
            name = f"images/{i:03d}-{scene.subject}.png"
            picture = io.BytesIO()
            Image.fromarray(render(scene)).save(picture, format="PNG")
            write_bytes(folder / split / name, picture.getvalue())
            row = {
                "file_name": name,
                "text": text(scene),
                "blip_text": blip_text(scene),
                "negative_imgpath": [],
            }
            rows.append(json.dumps(row) + "\n")
        write_text(folder / split / "metadata.jsonl", "".join(rows))
    return folder


def prompts(culture: str) -> list[str]:
    """The evaluation prompts of the culture, one a subject."""
    return list(rewrites(culture))


def rewrites(culture: str) -> dict[str, str]:
    """Each evaluation prompt with the words that this world has for how the culture's own style looks."""
    scenes = [Scene(subject, own_style(culture), culture) for subject in SUBJECTS]
    return {text(scene): descriptive_text(scene) for scene in scenes}


def neutral_prompts() -> list[str]:
    """Prompts that name no culture, one a subject."""
    return [text(Scene(subject, 0)) for subject in SUBJECTS]
