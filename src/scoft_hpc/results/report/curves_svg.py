"""Curves as inline SVG whose colours are the page's CSS variables, so that they follow light and dark.

Text stays text (it can be selected and takes the page's font), and the drawings are small, so that it can still be
read when a phone shows one to a line.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from scoft_hpc.results.study import Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = 8
"""The page has --culture-0 … and --variant-0 …, so many of each."""
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
MAX_LANES = 30
"""Thin lines a variant at most: more are a blot, and a large file."""
TERMS = {
    "loss": "total loss",
    "loss_ldm": "L_LDM, denoising",
    "loss_m": "L_M, memorization",
    "loss_p": "L_P, perceptual",
    "loss_c": "L_C, contrastive",
    "loss_vgg": "VGG, perceptual",
    "grad_norm": "gradient norm",
}

INK, MUTED, RULE = "#000001", "#000002", "#000003"
"""Stand-ins that matplotlib takes for colours and `markup` turns into variables."""
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)"} | {
    f"#0002{i:02x}": f"var(--variant-{i})" for i in range(COLOURS)
}


def loss_plot(study: Study, term: str) -> str | None:
    """A thin line a run (a lane), and over them each variant's mean, in steps of training; None if no run has it."""
    with plane(f"l-{term}") as (figure, axes):
        means = []
        for i, variant in enumerate(study.variants):
            lanes = [run.curves[term] for run in study.of(variant=variant) if term in run.curves]
            if not lanes:
                continue
            colour, dashes = f"#0002{i % COLOURS:02x}", DASHES[i % len(DASHES)]
            for x, y in lanes[:MAX_LANES] if len(lanes) > 1 else ():
                axes.plot(x, y, color=colour, linewidth=0.5, alpha=0.35)
            longest = max(lanes, key=lambda lane: lane[0][-1])[0]
            heights = np.array([np.interp(longest, x, y, right=math.nan) for x, y in lanes])
            seen = ~np.isnan(heights).all(axis=0)
            means.append((longest[seen], np.nanmean(heights[:, seen], axis=0), colour, dashes))
        for x, mean, colour, dashes in means:  # above all lanes
            axes.plot(x, mean, linewidth=1.5, color=colour, linestyle=dashes)
        axes.set_xlabel("step", color=MUTED, labelpad=1)
        return markup(figure, f"l-{term}") if means else None


@contextmanager
def plane(name: str, height: float = 2.5) -> Iterator[tuple[Figure, Axes]]:
    """Axes of the page's look, `height` inches high with their labels; `name` is the drawing's own on the page."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}):
        figure = Figure(figsize=(3.9, height))
        axes = figure.add_axes((0.12, 0.425 / height, 0.86, 1 - 0.525 / height))
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(MUTED)
        axes.tick_params(colors=MUTED, labelcolor=INK, length=0, pad=4)
        axes.grid(axis="y", color=RULE, linewidth=0.7)
        axes.set_axisbelow(True)
        yield figure, axes


def markup(figure: Figure, name: str) -> str:
    """The drawing as an element of the page, in its colours."""
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    text = content.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"""(\bid="|href="#|url\(#)""", rf"\g<1>{name}-", text)  # one page holds many plots
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 aria-hidden="true"', text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"""font: ([\d.]+)px [^;"]*""", r"font-size: \1px", text)
    text = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d)\d+", r"\1", path[0]), text)  # tenths of a point
    return re.sub("|".join(VARIABLES), lambda match: VARIABLES[match[0]], text)
