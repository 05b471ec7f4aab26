"""Plots as inline SVG whose colours are the page's CSS variables, so that they follow light and dark.

Text stays text (it can be selected and takes the page's font), and the drawings are small, so that it can still be
read when a phone shows one to a line.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from scoft_hpc.results.measures import Measure
from scoft_hpc.results.statistics import level
from scoft_hpc.results.study import Run, Study

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = 8
"""The page has --culture-0 … and --variant-0 …, so many of each."""
MARKERS = "os^Dv*Ph"
SYMBOLS = "●■▲◆▼★✚⬢"
"""The same markers as text, for the legend: a culture is told by shape as well as by colour."""
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (5, 1.5, 1, 1.5)))
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
"""Stand-ins that matplotlib takes for colours and `_svg` turns into variables."""
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", RULE: "var(--rule)"} | {
    f"#00{kind}{i:02x}": f"var(--{name}-{i})"
    for kind, name in (("01", "culture"), ("02", "variant"))
    for i in range(COLOURS)
}


def culture_colour(i: int) -> str:
    return f"#0001{i % COLOURS:02x}"


def variant_colour(i: int) -> str:
    return f"#0002{i % COLOURS:02x}"


def measure_plot(study: Study, measure: Measure) -> str:
    """Variants side by side: each culture's mean over seeds, and over them the pooled mean with its interval."""
    variants = study.variants
    with _axes(f"m-{measure.name}") as (figure, axes):
        for i, culture in enumerate(study.cultures):
            heights = [_mean_of(study.of(culture=culture, variant=v), measure.name) for v in variants]
            shift = (i - (len(study.cultures) - 1) / 2) * min(0.08, 0.5 / len(study.cultures))
            axes.plot(
                np.arange(len(variants)) + shift,
                heights,
                color=culture_colour(i),
                linewidth=0.6,
                marker=MARKERS[i % COLOURS],
                markersize=4.5,
                clip_on=False,
            )
        for x, variant in enumerate(variants):
            estimate = level(study, measure, variant)
            if estimate is None:
                continue
            axes.plot(
                [x - 0.3, x + 0.3], [estimate.value] * 2, color=INK, linewidth=1.8, solid_capstyle="round"
            )
            if estimate.half is not None:
                axes.plot([x, x], [estimate.low, estimate.high], color=INK, linewidth=0.9)
        if measure.goal == 0.5:
            axes.axhline(0.5, color=MUTED, linewidth=0.8, dashes=(2, 2))
        axes.set_xticks(range(len(variants)), variants)
        axes.set_xlim(-0.5, len(variants) - 0.5)
        low, high = measure.bounds
        drawn = axes.get_ylim()
        axes.set_ylim(
            low if math.isfinite(low) else drawn[0], high * 1.02 if math.isfinite(high) else drawn[1] * 1.08
        )
        return _svg(figure, f"m-{measure.name}")


def loss_plot(study: Study, term: str) -> str | None:
    """A curve a variant: the mean over its runs in steps of training, faint between the least and the greatest run.

    None if no run has the term.
    """
    with _axes(f"l-{term}") as (figure, axes):
        drawn = False
        for i, variant in enumerate(study.variants):
            curves = [run.curves[term] for run in study.of(variant=variant) if term in run.curves]
            if not curves:
                continue
            drawn = True
            longest = max(curves, key=lambda c: c[0][-1])[0]
            heights = np.array([np.interp(longest, x, y, right=math.nan) for x, y in curves])
            seen = ~np.isnan(heights).all(axis=0)
            x, heights = longest[seen], heights[:, seen]
            colour = variant_colour(i)
            axes.plot(
                x, np.nanmean(heights, axis=0), color=colour, linewidth=1.4, linestyle=DASHES[i % len(DASHES)]
            )
            axes.fill_between(
                x,
                np.nanmin(heights, axis=0),
                np.nanmax(heights, axis=0),
                color=colour,
                alpha=0.1,
                linewidth=0,
            )
        axes.set_xlabel("step", color=MUTED, labelpad=1)
        return _svg(figure, f"l-{term}") if drawn else None


def _mean_of(runs: Iterator[Run], metric: str) -> float:
    """NaN, which is not drawn, where no run has the metric."""
    found = [value for run in runs if (value := run.metric(metric)) is not None]
    return sum(found) / len(found) if found else math.nan


@contextmanager
def _axes(name: str) -> Iterator[tuple[Figure, Axes]]:
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name, "font.size": 9}):
        figure = Figure(figsize=(3.9, 2.5), layout="constrained")
        axes = figure.add_subplot()
        figure.patch.set_visible(False)
        axes.patch.set_visible(False)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(MUTED)
        axes.tick_params(colors=MUTED, labelcolor=INK, length=0, pad=4)
        axes.grid(axis="y", color=RULE, linewidth=0.7)
        axes.set_axisbelow(True)
        yield figure, axes


def _svg(figure: Figure, name: str) -> str:
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None})
    text = content.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"""(\bid="|href="#|url\(#)""", rf"\g<1>{name}-", text)  # one page holds many plots
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r'\1 aria-hidden="true"', text, count=1)
    text = re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r"""font: ([\d.]+)px [^;"]*""", r"font-size: \1px", text)
    return re.sub("|".join(VARIABLES), lambda found: VARIABLES[found[0]], text)


def legend(names: Sequence[str]) -> list[tuple[str, int, str]]:
    """(name, colour index, symbol) of each culture."""
    return [(name, i % COLOURS, SYMBOLS[i % COLOURS]) for i, name in enumerate(names)]
