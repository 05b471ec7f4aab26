"""The settings that commands have besides those of a run: a study's for `sweep`, a preparation's for `prepare`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from scoft_hpc.config.cluster import Cluster
from scoft_hpc.config.schema import Data, RunConfig
from scoft_hpc.config.setting import ABOVE_ZERO, at_least, setting


class CaptionSource(Enum):
    """Where missing generic captions come from: nowhere (given ones only), or an image captioner."""

    given = "given"
    blip = "blip"
    blip2 = "blip2"


class PlanMode(Enum):
    """`only` prints what would run and submits nothing."""

    run = "run"
    only = "only"


@dataclass(frozen=True)
class Captions:
    """How rows without a generic caption (`blip_text`) get one.

    Attributes:
        path: the captioner's hub id or folder; None: the source's own hub id.
    """

    source: CaptionSource = CaptionSource.given
    path: str | None = None


@dataclass(frozen=True)
class Download:
    """Limits for downloading a table's images.

    Attributes:
        jobs: images at a time. tries: per image. seconds: until a request times out.
        megabytes: of the largest image.
    """

    jobs: int = setting(4, allowed=ABOVE_ZERO)
    tries: int = setting(4, allowed=ABOVE_ZERO)
    seconds: float = setting(30.0, allowed=ABOVE_ZERO)
    megabytes: float = setting(20.0, allowed=ABOVE_ZERO)


@dataclass(frozen=True)
class PrepareData(Data):
    """`csv`: a table of captions and URLs, in the form of CCUB's, to build the cultures' folders from."""

    name: str = "folder"
    csv: str | None = None
    captions: Captions = Captions()
    download: Download = Download()


@dataclass(frozen=True)
class PrepareConfig(RunConfig):
    """Cultures to prepare: `culture` is a name, a list or `all`.

    Attributes:
        caches: whether negatives, latents and text states are computed too, which needs the model.
    """

    culture: Any = "all"
    data: PrepareData = PrepareData()
    caches: bool = True


@dataclass(frozen=True)
class Rewriter:
    """A language model behind an endpoint that speaks OpenAI's protocol, and its limits.

    Attributes:
        url: the URL up to `/chat/completions`. model: its name there.
        instruction: a text file that says how to rewrite, with `{culture}` for its name; None: the built-in one.
        jobs: requests at a time. tries: per request. seconds: until a request times out.
    """

    url: str = ""
    model: str = ""
    instruction: str | None = None
    jobs: int = setting(2, allowed=ABOVE_ZERO)
    tries: int = setting(5, allowed=ABOVE_ZERO)
    seconds: float = setting(60.0, allowed=ABOVE_ZERO)


@dataclass(frozen=True)
class RewriteConfig(RunConfig):
    """Evaluation prompts rewritten into the file `evaluation.rewrites`: `culture` is a name, a list or `all`."""

    culture: Any = "all"
    rewriter: Rewriter = Rewriter()


@dataclass(frozen=True)
class Ablation:
    """What a sweep varies: every combination of the axes' values, each axis a setting's name.

    Attributes:
        zip: lists of axes that go together: the first value of one with the first of the others, and so on.
        when: axis -> {other axis: value, or a list of them}: it varies only there, and keeps its default elsewhere.
        exclude: combinations to leave out, each as {axis: value, or a list of them}.
    """

    name: str = "none"
    axes: dict[str, list[Any]] = field(default_factory=dict)
    zip: list[list[str]] = field(default_factory=list)
    when: dict[str, dict[str, Any]] = field(default_factory=dict)
    exclude: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Budget:
    """What a study may cost in service units, spent and estimated together; None: no limit."""

    su: float | None = setting(None, allowed=at_least(0))


class Sampler(Enum):
    """Who proposes a trial's values: Optuna's tree-structured Parzen estimator, or chance."""

    tpe = "tpe"
    random = "random"


@dataclass(frozen=True)
class Tune:
    """A search for settings, in rounds of trials that are ordinary studies; none where `space` is empty.

    Attributes:
        space: setting -> {low, high, log} or a list of values; null: not searched after all.
        trials: in total. parallel: per round.
        measure: a run's metric, averaged over cultures and seeds; None: default_style in the toy world, else kid.
        seed: of the proposals.
    """

    space: dict[str, Any] = field(default_factory=dict)
    trials: int = setting(16, allowed=at_least(1))
    parallel: int = setting(4, allowed=at_least(1))
    measure: str | None = None
    sampler: Sampler = Sampler.tpe
    seed: int = setting(0, allowed=at_least(0))


@dataclass(frozen=True)
class SweepConfig(RunConfig):
    """A study: `culture` is a name, a list or `all`; `seed` a number or a list."""

    culture: Any = setting("all", axis=False)
    seed: Any = setting(0, axis=False, reported=False)
    ablation: Ablation = setting(Ablation(), axis=False, reported=False)
    plan: PlanMode = setting(PlanMode.run, axis=False, reported=False)
    cluster: Cluster = setting(default_factory=Cluster, axis=False)
    budget: Budget = setting(Budget(), axis=False)
    tune: Tune = setting(Tune(), axis=False, reported=False)
