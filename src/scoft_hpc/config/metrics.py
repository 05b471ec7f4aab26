"""The metrics: one row for each, read by both planes, by validation and by every report.

A new metric is a row here and a file in `scoft_hpc/evaluation/metrics/` that computes it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Unit = Literal["sample", "prompt", "neutral", "set"]
Direction = Literal["lower", "higher", "target_half", "undirected"]
Embedder = Literal["features", "clip"]


@dataclass(frozen=True)
class MetricSpec:
    """What a metric is called, needs and means.

    Attributes:
        name: its key in scores.json and `scoring.metrics`, and its column in results.csv.
        title, short: its names in text and in narrow columns.
        group: what it speaks of; tables and plots put the metrics of a group together, so they are adjacent here.
        module: the file in `scoft_hpc.evaluation.metrics` whose function `compute_<name>` computes it.
        unit: what has a value of its own: a sample, a prompt, a sample of a prompt that names no culture ("neutral"),
            or only the samples as a set. A run's value is the mean over its units.
        direction: which values are better: lower ones, higher ones, those near one half, or neither end.
        min_effect: the smallest difference that matters, from which the number of seeds needed follows; our choice.
        embedder: the network of `scoring` that it needs; None where it needs neither.
        bounds: the least and the greatest possible value.
        relative_effect: whether `min_effect` is a share of the reference's mean. It is for distances whose scale
            depends on the embedder.
        meaning: what it says and what it cannot say, for readers of a report.
        headline: its place among the metrics shown for every run and every culture; None: not among them.
        by_default: whether it is computed when `scoring.metrics` is not set.
    """

    name: str
    title: str
    short: str
    group: str
    module: str
    unit: Unit
    direction: Direction
    min_effect: float
    meaning: str
    embedder: Embedder | None = None
    bounds: tuple[float, float] = (0.0, 1.0)
    relative_effect: bool = False
    headline: int | None = None
    by_default: bool = True

    @property
    def arrow(self) -> str:
        return {"lower": "↓", "higher": "↑", "target_half": "→ ½", "undirected": ""}[self.direction]

    @property
    def target(self) -> float | None:
        """The best value, where that is neither end of the range."""
        return 0.5 if self.direction == "target_half" else None

    @property
    def rows_key(self) -> str | None:
        """The list in scores.json whose entries hold the values of single units; None for metrics of a set."""
        return {"sample": "samples", "prompt": "prompts", "neutral": "neutral", "set": None}[self.unit]

    def loss_of(self, value: float) -> float | None:
        """A number that is lower for better values; None where neither end is better."""
        losses = {"lower": value, "higher": -value, "target_half": abs(value - 0.5), "undirected": None}
        return losses[self.direction]

    def min_effect_at(self, level: float) -> float:
        """The smallest difference that matters, from a reference whose mean is `level`."""
        return self.min_effect * abs(level) if self.relative_effect else self.min_effect


METRICS: dict[str, MetricSpec] = {
    spec.name: spec
    for spec in (
        MetricSpec(
            name="default_style",
            title="Default style",
            short="default",
            group="truth",
            module="toy_truth",
            unit="sample",
            direction="lower",
            min_effect=0.1,
            headline=0,
            meaning="Share of samples drawn in the style that the base falls back on, whatever the culture: "
            "the bias. Known in the toy world alone.",
        ),
        MetricSpec(
            name="in_style",
            title="In style",
            short="in style",
            group="truth",
            module="toy_truth",
            unit="sample",
            direction="higher",
            min_effect=0.1,
            headline=1,
            meaning="Share of samples drawn in the culture's own style. Known in the toy world alone.",
        ),
        MetricSpec(
            name="subject",
            title="Subject",
            short="subject",
            group="truth",
            module="toy_truth",
            unit="sample",
            direction="higher",
            min_effect=0.05,
            headline=2,
            meaning="Share of samples that show the subject the prompt asks for. Known in the toy world "
            "alone.",
        ),
        MetricSpec(
            name="clip_score",
            title="CLIPScore",
            short="CLIP",
            group="prompt match",
            module="clip_score",
            embedder="clip",
            unit="sample",
            direction="higher",
            bounds=(0.0, 2.5),
            min_effect=0.02,
            headline=4,
            meaning="2.5 × the cosine of CLIP's embeddings of a sample and its prompt: whether CLIP sees "
            "what was asked for. CLIP knows the web: what a culture calls by a word that CLIP "
            "learned elsewhere may score low where a person would agree. Comparable under one CLIP "
            "only.",
        ),
        MetricSpec(
            name="kid",
            title="KID",
            short="KID",
            group="culture fidelity",
            module="kid",
            embedder="features",
            unit="set",
            direction="lower",
            bounds=(-math.inf, math.inf),
            min_effect=0.2,
            relative_effect=True,
            headline=3,
            meaning="How far the samples' features are from those of the culture's held-out images, "
            "unbiased for small sets: below 0 means no difference that so many images can show. It "
            "does not say whether single images are good, nor that none is copied. Comparable under "
            "one feature network only.",
        ),
        MetricSpec(
            name="cmmd",
            title="CMMD",
            short="CMMD",
            group="culture fidelity",
            module="cmmd",
            embedder="clip",
            unit="set",
            direction="lower",
            bounds=(-math.inf, math.inf),
            min_effect=0.2,
            relative_effect=True,
            meaning="1000 × the squared distance between the distributions of CLIP embeddings of samples "
            "and of the culture's held-out images: nearly that of their means. It sees next to "
            "nothing of the spread: samples that all look alike can score well. Comparable under "
            "one CLIP only.",
        ),
        MetricSpec(
            name="fid",
            title="FID",
            short="FID",
            group="culture fidelity",
            module="fid",
            embedder="features",
            unit="set",
            direction="lower",
            bounds=(0.0, math.inf),
            min_effect=0.1,
            relative_effect=True,
            by_default=False,
            meaning="Distance of two Gaussians fitted to the features of samples and of held-out images. "
            "Biased by an amount that depends on the number of images and on the model: below 2,048 "
            "images it can rank two models wrongly. For comparison with published numbers only; "
            "read KID.",
        ),
        MetricSpec(
            name="base_distance",
            title="Distance from base",
            short="from base",
            group="distance from base",
            module="base_distance",
            embedder="features",
            unit="sample",
            direction="undirected",
            bounds=(0.0, 2.0),
            min_effect=0.05,
            meaning="1 − the cosine of features of a sample and of the base's own image of that prompt and "
            "noise: how far the run has left the base's bias. It does not say where to: a broken "
            "model moves far.",
        ),
        MetricSpec(
            name="memorization",
            title="Memorization",
            short="mem.",
            group="memorization",
            module="memorization",
            embedder="features",
            unit="sample",
            direction="target_half",
            min_effect=0.1,
            headline=5,
            meaning="Share of samples nearer to a training image than to any held-out image of the culture, "
            "as with sets of one size: one half is chance. It says that training images attract "
            "samples, not that any is a copy.",
        ),
        MetricSpec(
            name="copies",
            title="Copies",
            short="copies",
            group="memorization",
            module="memorization",
            embedder="features",
            unit="sample",
            direction="lower",
            min_effect=0.05,
            meaning="Share of samples nearer to a training image than all but a few held-out images are; "
            ".05 is chance where there are at least 19 of these. It sees whole images: a copied "
            "part in a new picture escapes it.",
        ),
        MetricSpec(
            name="diversity",
            title="Diversity",
            short="diversity",
            group="diversity",
            module="diversity",
            embedder="features",
            unit="prompt",
            direction="undirected",
            bounds=(0.0, 2.0),
            min_effect=0.03,
            headline=6,
            meaning="Mean distance between two samples of one prompt in feature space. No merit alone: "
            "noise is diverse.",
        ),
        MetricSpec(
            name="vendi",
            title="Vendi score",
            short="Vendi",
            group="diversity",
            module="diversity",
            embedder="features",
            unit="prompt",
            direction="undirected",
            bounds=(1.0, math.inf),
            min_effect=0.1,
            meaning="The effective number of different images among the samples of one prompt, from 1 (all "
            "alike) to their number. Comparable at one number of samples and one feature network "
            "only; no merit alone.",
        ),
        MetricSpec(
            name="neutral_kid",
            title="Neutral KID",
            short="neutr. KID",
            group="forgetting",
            module="neutral_kid",
            embedder="features",
            unit="set",
            direction="lower",
            bounds=(-math.inf, math.inf),
            min_effect=0.2,
            relative_effect=True,
            meaning="How far the run's images of prompts that name no culture are from the base's, prompt "
            "by prompt and noise by noise: what fine-tuning changed where it should not. It does "
            "not say whether for the worse.",
        ),
        MetricSpec(
            name="neutral_clip_score",
            title="Neutral CLIPScore",
            short="neutr. CLIP",
            group="forgetting",
            module="clip_score",
            embedder="clip",
            unit="neutral",
            direction="higher",
            bounds=(0.0, 2.5),
            min_effect=0.02,
            meaning="CLIPScore on prompts that name no culture: lower than the base's means that the model "
            "has unlearned to draw what it is asked for.",
        ),
    )
}
"""All metrics by name, in the order in which tables, plots and files show them."""
