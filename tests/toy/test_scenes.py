from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

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


def test_captions() -> None:
    scene = Scene("house", own_style("korea"), "korea")
    assert text(scene) == "a house in korea"
    assert text(replace(scene, place="on a hill")) == "a house on a hill in korea"
    assert text(replace(scene, culture=None)) == blip_text(scene) == "a house"
    assert descriptive_text(scene) == "a striped house"


def test_culture_keys_pick_styles_by_index_and_none_is_the_default() -> None:
    assert [own_style(culture) for culture in CULTURES] == [1, 2, 3, 4, 5]
    assert len(STYLES) == 6
    assert len({style.name for style in STYLES}) == len(STYLES)


def test_render_is_a_deterministic_picture_that_only_depends_on_what_is_shown() -> None:
    scene = Scene("boat", 2, "india", "by a lake", size=0.55, x=0.05, y=-0.02, tint=(1.0, 0.97, 0.95))
    picture = render(scene)
    assert picture.shape == (64, 64, 3)
    assert picture.dtype == np.uint8
    assert np.array_equal(picture, render(scene))
    assert np.array_equal(picture, render(replace(scene, culture=None)))


@pytest.mark.parametrize(
    "changed",
    [
        {"subject": "cup"},
        {"style": 4},
        {"place": None},
        {"size": 0.7},
        {"x": 0.0},
        {"y": 0.02},
        {"tint": (1, 1, 1)},
    ],
)
def test_every_factor_shows(changed: dict[str, object]) -> None:
    scene = Scene("boat", 2, None, "by a lake", size=0.55, x=0.05, y=-0.02, tint=(0.96, 0.97, 0.95))
    other = replace(scene, **changed)
    assert np.abs(render(scene).astype(int) - render(other)).mean() > 0.5


@pytest.mark.parametrize("subject", SUBJECTS)
def test_all_styles_of_a_subject_are_far_apart(subject: str) -> None:
    pictures = [render(Scene(subject, style)).astype(float) for style in range(len(STYLES))]
    for i, first in enumerate(pictures):
        for second in pictures[:i]:
            assert np.abs(first - second).mean() > 25


@pytest.mark.parametrize("style", range(len(STYLES)))
def test_all_subjects_and_places_of_a_style_differ(style: int) -> None:
    pictures = [
        render(Scene(subject, style, place=place)) for subject in SUBJECTS for place in (None, *PLACES)
    ]
    assert len({picture.tobytes() for picture in pictures}) == len(SUBJECTS) * (1 + len(PLACES))


def test_tint_scales_the_colours() -> None:
    scene = Scene("lamp", 0)
    darker = render(replace(scene, tint=(0.5, 1.0, 1.0)))
    assert np.abs(darker[..., 0] - render(scene)[..., 0] * 0.5).max() <= 0.5 + 1e-9
    assert np.array_equal(darker[..., 1:], render(scene)[..., 1:])
