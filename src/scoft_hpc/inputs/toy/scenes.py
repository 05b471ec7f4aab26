"""The scenes of the toy world: what they hold, how they are captioned and how they are drawn.

A scene is abstract geometry, 64 x 64 pixels: one *subject* (a plain thing made of a few polygons) drawn in one
*style* (palette, motif and silhouette treatment). The pictures depict nothing of any culture: a culture's key picks
a style by its index, as it would pick a row of a table, so that the truth about every picture is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

PIXELS = 64
SUPERSAMPLING = 4
CANVAS = PIXELS * SUPERSAMPLING

CULTURES = ("china", "india", "korea", "mexico", "nigeria")
SUBJECTS = ("house", "boat", "tree", "tower", "bridge", "lamp", "kite", "cup")
PLACES = ("on a hill", "by a lake", "under the sun")

Point = tuple[float, float]
Shape = tuple[str, tuple[Point, ...]]
"""("polygon", its corners) or ("ellipse", two opposite corners of its box), in the subject's unit square, y down."""


@dataclass(frozen=True)
class Style:
    """How a scene is drawn; colours as #rrggbb. `name` is the word captions use when they describe the style."""

    name: str
    sky: str
    ground: str
    body: str
    second: str
    """The motif's colour, laid over the body."""
    detail: str
    motif: str
    treatment: str


STYLES = (
    Style("plain", "#cbd4dc", "#96a09e", "#788698", "#788698", "#545e70", "none", "none"),
    Style("ringed", "#184a58", "#0e303e", "#f0c478", "#ce7440", "#faf0d6", "rings", "outlined"),
    Style("dotted", "#f8ced6", "#e29eb4", "#7a2c6e", "#faecbe", "#42144a", "dots", "rounded"),
    Style("striped", "#dee882", "#9cb23e", "#264e94", "#ecf0f8", "#14225c", "stripes", "leaning"),
    Style("checked", "#7e62be", "#523a8e", "#faaa46", "#6e223c", "#ffe296", "checks", "stepped"),
    Style("banded", "#fab08c", "#de705c", "#227e7a", "#aee8d0", "#0c404a", "bands", "stout"),
)  # fmt: skip
"""Index 0 is the default style of the web; index i > 0 is the own style of CULTURES[i - 1]."""


@dataclass(frozen=True)
class Scene:
    """One picture of the toy world.

    subject: one of SUBJECTS. style: index into STYLES. culture: one of CULTURES, or None for a caption without one.
    place: one of PLACES or None. size: width of the subject in pictures, 0.45 to 0.75. x, y: the subject's offset in
    pictures, about -0.08 to 0.08. tint: (red, green, blue) factors of the light, near 1.
    """

    subject: str
    style: int
    culture: str | None = None
    place: str | None = None
    size: float = 0.62
    x: float = 0.0
    y: float = 0.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)


def own_style(culture: str) -> int:
    """The index into STYLES of the culture's own style."""
    return CULTURES.index(culture) + 1


def text(scene: Scene) -> str:
    """The caption of the scene, e.g. "a house on a hill in korea"."""
    parts = ["a", scene.subject]
    if scene.place is not None:
        parts.append(scene.place)
    if scene.culture is not None:
        parts += ["in", scene.culture]
    return " ".join(parts)


def blip_text(scene: Scene) -> str:
    """What an automatic captioner would say, which knows things but no cultures, e.g. "a house"."""
    return f"a {scene.subject}"


def descriptive_text(scene: Scene) -> str:
    """A caption that names the style by its look, e.g. "a striped house"."""
    return f"a {STYLES[scene.style].name} {scene.subject}"


def _box(left: float, top: float, right: float, bottom: float) -> Shape:
    return "polygon", ((left, top), (right, top), (right, bottom), (left, bottom))


def _polygon(*corners: Point) -> Shape:
    return "polygon", corners


def _ellipse(left: float, top: float, right: float, bottom: float) -> Shape:
    return "ellipse", ((left, top), (right, bottom))


BODY_AND_DETAIL: dict[str, tuple[tuple[Shape, ...], tuple[Shape, ...]]] = {
    "house": (
        (_box(0.15, 0.45, 0.85, 1.0), _polygon((0.02, 0.48), (0.5, 0.08), (0.98, 0.48))),
        (_box(0.40, 0.64, 0.60, 1.0),),
    ),
    "boat": (
        (_polygon((0.0, 0.68), (1.0, 0.68), (0.8, 1.0), (0.2, 1.0)),),
        (_polygon((0.52, 0.02), (0.52, 0.60), (0.92, 0.60)), _polygon((0.44, 0.16), (0.44, 0.60), (0.12, 0.60))),
    ),
    "tree": (
        (_ellipse(0.12, 0.02, 0.88, 0.70),),
        (_box(0.42, 0.66, 0.58, 1.0),),
    ),
    "tower": (
        (_polygon((0.36, 0.14), (0.64, 0.14), (0.76, 1.0), (0.24, 1.0)), _box(0.28, 0.0, 0.72, 0.16)),
        (_box(0.44, 0.30, 0.56, 0.48), _box(0.44, 0.62, 0.56, 0.80)),
    ),
    "bridge": (
        (_box(0.0, 0.42, 1.0, 0.62), _box(0.06, 0.42, 0.26, 1.0), _box(0.74, 0.42, 0.94, 1.0)),
        (_box(0.0, 0.30, 1.0, 0.40),),
    ),
    "lamp": (
        (_polygon((0.32, 0.04), (0.68, 0.04), (0.94, 0.52), (0.06, 0.52)),),
        (_box(0.44, 0.52, 0.56, 0.92), _box(0.24, 0.90, 0.76, 1.0)),
    ),
    "kite": (
        (_polygon((0.5, 0.0), (0.92, 0.36), (0.5, 0.84), (0.08, 0.36)),),
        (_polygon((0.5, 0.84), (0.70, 0.88), (0.64, 1.0), (0.5, 0.92), (0.36, 1.0), (0.30, 0.88)),),
    ),
    "cup": (
        (_polygon((0.06, 0.26), (0.74, 0.26), (0.64, 1.0), (0.16, 1.0)),),
        (_polygon((0.74, 0.38), (0.98, 0.38), (0.94, 0.78), (0.69, 0.78), (0.70, 0.66), (0.82, 0.66), (0.84, 0.50),
                  (0.73, 0.50)),),
    ),
}  # fmt: skip
"""What is drawn with the motif, and what is drawn over it in the plain detail colour."""


def _motifs() -> dict[str, Image.Image]:
    """Masks over the whole canvas: 255 where the second colour shows. They stay put as subjects move."""
    y, x = np.mgrid[0:CANVAS, 0:CANVAS] / SUPERSAMPLING
    patterns = {
        "none": np.zeros_like(x, dtype=bool),
        "rings": np.hypot(x - 32, y - 36) % 14 < 6,
        "dots": np.hypot(x % 10 - 5, y % 10 - 5) < 2.6,
        "stripes": x % 10 < 5,
        "checks": (x % 16 < 8) ^ (y % 16 < 8),
        "bands": (x + y) % 13 < 6,
    }
    return {name: Image.fromarray((on * 255).astype(np.uint8)) for name, on in patterns.items()}


MOTIFS = _motifs()

PLACE_SHAPES = {
    "on a hill": _ellipse(-0.1, 0.60, 1.1, 1.5),
    "by a lake": _ellipse(0.05, 0.84, 0.95, 0.98),
    "under the sun": _ellipse(0.06, 0.05, 0.26, 0.25),
}
"""What a place adds to the picture, in pictures."""


def _mask(shapes: tuple[Shape, ...], to_canvas: Callable[[Point], Point]) -> Image.Image:
    mask = Image.new("L", (CANVAS, CANVAS))
    draw = ImageDraw.Draw(mask)
    for kind, points in shapes:
        on_canvas = [to_canvas(point) for point in points]
        (draw.polygon if kind == "polygon" else draw.ellipse)(on_canvas, fill=255)
    return mask


def _treat(mask: Image.Image, treatment: str) -> Image.Image:
    """The silhouette treatments that work on the drawn mask."""
    if treatment == "rounded":
        return mask.filter(ImageFilter.GaussianBlur(2.2 * SUPERSAMPLING)).point(
            lambda value: 255 * (value > 118)
        )
    if treatment == "stepped":
        coarse = mask.resize((PIXELS // 4, PIXELS // 4), Image.Resampling.BOX)
        return coarse.point(lambda value: 255 * (value > 110)).resize(
            (CANVAS, CANVAS), Image.Resampling.NEAREST
        )
    return mask


def _subject_to_canvas(scene: Scene) -> Callable[[Point], Point]:
    """The map from the subject's unit square to the canvas: place, size, and the treatments that deform."""
    treatment = STYLES[scene.style].treatment
    lean = 0.22 if treatment == "leaning" else 0.0
    width, height = (1.15, 0.85) if treatment == "stout" else (1.0, 1.0)

    def to_canvas(point: Point) -> Point:
        right, down = point[0] - 0.5, point[1] - 1.0
        x = 0.5 + scene.x + scene.size * width * (right - lean * (down + 0.5))
        y = 0.88 + scene.y + scene.size * height * down
        return CANVAS * x, CANVAS * y

    return to_canvas


def _grown(mask: Image.Image) -> Image.Image:
    """The mask with a pixel of the picture more on all sides: the largest value in a square around each point."""
    grown = np.array(mask)
    for lines in (grown, grown.T):
        for _ in range(SUPERSAMPLING):
            before = lines.copy()
            np.maximum(lines[1:], before[:-1], out=lines[1:])
            np.maximum(lines[:-1], before[1:], out=lines[:-1])
    return Image.fromarray(grown)


def render(scene: Scene) -> NDArray[np.uint8]:
    """Draws the scene: uint8 [64, 64, 3], the same for the same scene."""
    style = STYLES[scene.style]
    picture = Image.new("RGB", (CANVAS, CANVAS), style.sky)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0.72 * CANVAS, CANVAS, CANVAS), fill=style.ground)
    if scene.place is not None:
        colours = dict(zip(PLACES, (style.ground, style.sky, style.detail), strict=True))
        shapes = (PLACE_SHAPES[scene.place],)
        place = _mask(shapes, lambda point: (CANVAS * point[0], CANVAS * point[1]))
        picture.paste(colours[scene.place], mask=place)

    body_shapes, detail_shapes = BODY_AND_DETAIL[scene.subject]
    to_canvas = _subject_to_canvas(scene)
    body = _treat(_mask(body_shapes, to_canvas), style.treatment)
    detail = _treat(_mask(detail_shapes, to_canvas), style.treatment)
    if style.treatment == "outlined":
        picture.paste(style.detail, mask=_grown(ImageChops.lighter(body, detail)))
    picture.paste(style.body, mask=body)
    picture.paste(style.second, mask=ImageChops.multiply(body, MOTIFS[style.motif]))
    picture.paste(style.second if style.treatment == "outlined" else style.detail, mask=detail)

    pixels = np.asarray(picture.resize((PIXELS, PIXELS), Image.Resampling.BOX), dtype=np.float64)
    lit: NDArray[np.uint8] = np.clip(np.rint(pixels * np.asarray(scene.tint)), 0, 255).astype(np.uint8)
    return lit
