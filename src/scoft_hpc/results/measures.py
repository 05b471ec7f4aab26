"""What is measured of a run: the names in scores.json, and how a reader is told of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher", "half", "neither"]
Unit = Literal["sample", "prompt", "neutral", "set"]


@dataclass(frozen=True)
class Measure:
    """A metric of scores.json, with what it takes to read it.

    Attributes:
        name: its key in scores.json and its column in results.csv.
        title, short: for people; `short` for narrow columns.
        group: what it speaks of; tables and plots keep a group together.
        unit: what has a value of its own: a sample, a prompt, a sample of a prompt that names no culture ("neutral"),
            or only the run's images as a set. A run's value is the mean over its units.
        better: the end that is better; "half" where both ends are worse than one half, "neither" where it is no merit.
        bounds: the least and the greatest value that it can take.
        matters: the difference worth seeing, for the number of seeds that it takes [ours].
        relative: whether `matters` is a share of the reference's mean: of distances whose scale is the network's.
        meaning: what it says, and what it cannot say.
    """

    name: str
    title: str
    short: str
    group: str
    unit: Unit
    better: Better
    bounds: tuple[float, float]
    matters: float
    meaning: str
    relative: bool = False

    @property
    def arrow(self) -> str:
        return {"lower": "↓", "higher": "↑", "half": "→ ½", "neither": ""}[self.better]

    @property
    def goal(self) -> float | None:
        """The value to come near to, where that is neither end."""
        return 0.5 if self.better == "half" else None

    def badness(self, value: float) -> float | None:
        """A number that is the lower the better; None where neither end is better."""
        return {"lower": value, "higher": -value, "half": abs(value - 0.5), "neither": None}[self.better]

    def worth(self, level: float) -> float:
        """The difference worth seeing from a reference whose mean is `level`."""
        return self.matters * abs(level) if self.relative else self.matters


MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            "default_style",
            "Default style",
            "default",
            "truth",
            "sample",
            "lower",
            (0.0, 1.0),
            0.1,
            "Share of samples drawn in the style that the base falls back on, whatever the culture: the bias. "
            "Known in the toy world alone.",
        ),
        Measure(
            "in_style",
            "In style",
            "in style",
            "truth",
            "sample",
            "higher",
            (0.0, 1.0),
            0.1,
            "Share of samples drawn in the culture's own style. Known in the toy world alone.",
        ),
        Measure(
            "subject",
            "Subject",
            "subject",
            "truth",
            "sample",
            "higher",
            (0.0, 1.0),
            0.05,
            "Share of samples that show the subject the prompt asks for. Known in the toy world alone.",
        ),
        Measure(
            "clip_score",
            "CLIPScore",
            "CLIP",
            "prompt match",
            "sample",
            "higher",
            (0.0, 2.5),
            0.02,
            "2.5 × the cosine of CLIP's embeddings of a sample and its prompt: whether CLIP sees what was asked for. "
            "CLIP knows the web: what a culture calls by a word that CLIP learned elsewhere may score low where a "
            "person would agree. Comparable under one CLIP only.",
        ),
        Measure(
            "kid",
            "KID",
            "KID",
            "culture fidelity",
            "set",
            "lower",
            (-math.inf, math.inf),
            0.2,
            "How far the samples' features are from those of the culture's held-out images, unbiased for small sets: "
            "below 0 means no difference that so many images can show. It does not say whether single images are "
            "good, nor that none is copied. Comparable under one feature network only.",
            relative=True,
        ),
        Measure(
            "cmmd",
            "CMMD",
            "CMMD",
            "culture fidelity",
            "set",
            "lower",
            (-math.inf, math.inf),
            0.2,
            "1000 × the squared distance between the distributions of CLIP embeddings of samples and of the culture's "
            "held-out images: nearly that of their means. It sees next to nothing of the spread: samples that all "
            "look alike can score well. Comparable under one CLIP only.",
            relative=True,
        ),
        Measure(
            "fid",
            "FID",
            "FID",
            "culture fidelity",
            "set",
            "lower",
            (0.0, math.inf),
            0.1,
            "Distance of two Gaussians fitted to the features of samples and of held-out images. Biased by an amount "
            "that depends on the number of images and on the model: below 2,048 images it can rank two models "
            "wrongly. For comparison with published numbers only; read KID.",
            relative=True,
        ),
        Measure(
            "base_distance",
            "Distance from base",
            "from base",
            "distance from base",
            "sample",
            "neither",
            (0.0, 2.0),
            0.05,
            "1 − the cosine of features of a sample and of the base's own image of that prompt and noise: how far the "
            "run has left the base's bias. It does not say where to: a broken model moves far.",
        ),
        Measure(
            "memorization",
            "Memorization",
            "mem.",
            "memorization",
            "sample",
            "half",
            (0.0, 1.0),
            0.1,
            "Share of samples nearer to a training image than to any held-out image of the culture, as with sets of "
            "one size: one half is chance. It says that training images attract samples, not that any is a copy.",
        ),
        Measure(
            "copies",
            "Copies",
            "copies",
            "memorization",
            "sample",
            "lower",
            (0.0, 1.0),
            0.05,
            "Share of samples nearer to a training image than all but a few held-out images are; .05 is chance where "
            "there are at least 19 of these. It sees whole images: a copied part in a new picture escapes it.",
        ),
        Measure(
            "diversity",
            "Diversity",
            "diversity",
            "diversity",
            "prompt",
            "neither",
            (0.0, 2.0),
            0.03,
            "Mean distance between two samples of one prompt in feature space. No merit alone: noise is diverse.",
        ),
        Measure(
            "vendi",
            "Vendi score",
            "Vendi",
            "diversity",
            "prompt",
            "neither",
            (1.0, math.inf),
            0.1,
            "The effective number of different images among the samples of one prompt, from 1 (all alike) to their "
            "number. Comparable at one number of samples and one feature network only; no merit alone.",
        ),
        Measure(
            "neutral_kid",
            "Neutral KID",
            "neutr. KID",
            "forgetting",
            "set",
            "lower",
            (-math.inf, math.inf),
            0.2,
            "How far the run's images of prompts that name no culture are from the base's, prompt by prompt and noise "
            "by noise: what fine-tuning changed where it should not. It does not say whether for the worse.",
            relative=True,
        ),
        Measure(
            "neutral_clip_score",
            "Neutral CLIPScore",
            "neutr. CLIP",
            "forgetting",
            "neutral",
            "higher",
            (0.0, 2.5),
            0.02,
            "CLIPScore on prompts that name no culture: lower than the base's means that the model has unlearned to "
            "draw what it is asked for.",
        ),
    )
}
"""In the order in which tables and plots show them."""
