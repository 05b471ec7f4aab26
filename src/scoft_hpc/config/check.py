"""Values that have the right type and make no sense, alone or together: told all at once, before anything runs."""

from __future__ import annotations

import functools
import importlib.util
import math
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scoft_hpc.config.cluster import gpu_of
from scoft_hpc.config.commands import SweepConfig
from scoft_hpc.config.metrics import METRICS
from scoft_hpc.config.schema import DISTANCES, EMBEDDINGS, Prompting, RunConfig, Variant, WandbMode
from scoft_hpc.errors import ConfigError
from scoft_hpc.study.paths import STUDY

Rule = tuple[Callable[[Any], bool], str]
"""What a value must be: a predicate, and the same in words."""


def _at_least(low: float) -> Rule:
    return lambda value: low <= value < math.inf, f"{low} or more"


ABOVE_ZERO: Rule = (lambda value: 0 < value < math.inf, "more than 0")
SHARE: Rule = (lambda value: 0 < value <= 1, "more than 0 and at most 1")
EIGHTS: Rule = (lambda value: value > 0 and value % 8 == 0, "a multiple of 8: the VAE scales by 8")
DEVICE: Rule = (
    lambda value: re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", value) is not None,
    "auto, cpu, cuda or cuda:N",
)

RULES: dict[str, Rule] = {
    "seed": _at_least(0),
    "model.resolution": EIGHTS,
    "model.gflop": ABOVE_ZERO,
    "model.shrink": _at_least(1),
    "data.pairs": _at_least(1),
    "data.negatives.per_positive": _at_least(1),
    "data.negatives.strength": SHARE,
    "data.negatives.steps": _at_least(1),
    "data.negatives.guidance": _at_least(0),
    "data.negatives.seed": _at_least(0),
    "objective.distance": (lambda value: value in DISTANCES, f"one of {', '.join(DISTANCES)}"),
    "objective.w_ldm": _at_least(0),
    "objective.w_m": _at_least(0),
    "objective.w_c": _at_least(0),
    "objective.w_vgg": _at_least(0),
    "objective.every": _at_least(1),
    "objective.guidance": _at_least(0),
    "objective.rollout_steps": _at_least(2),
    "objective.triplet_lambda": _at_least(0),
    "objective.triplet_margin": _at_least(0),
    "lora.rank": _at_least(1),
    "lora.alpha": ABOVE_ZERO,
    "lora.targets": (lambda value: bool(value) and all(value), "at least one layer's name"),
    "train.steps": _at_least(1),
    "train.epochs": _at_least(1),
    "train.batch": _at_least(1),
    "train.rows": _at_least(1),
    "train.lr": ABOVE_ZERO,
    "train.betas": (lambda value: all(0 <= beta < 1 for beta in value), "two numbers from 0 to below 1"),
    "train.weight_decay": _at_least(0),
    "train.eps": ABOVE_ZERO,
    "train.warmup_steps": _at_least(0),
    "train.max_grad_norm": ABOVE_ZERO,
    "evaluation.prompts": _at_least(1),
    "evaluation.neutral": _at_least(0),
    "evaluation.samples": _at_least(1),
    "evaluation.steps": _at_least(1),
    "evaluation.guidance": _at_least(0),
    "evaluation.seed": _at_least(0),
    "scoring.metrics": (lambda value: set(value) <= set(METRICS), f"names among {', '.join(METRICS)}"),
    "scoring.features": (lambda value: value in EMBEDDINGS, f"one of {', '.join(EMBEDDINGS)}"),
    "study": (
        lambda value: STUDY.fullmatch(value) is not None,
        "letters, digits, `_`, `-` and `.`, at most 81, the first a letter or digit",
    ),
    "output": (bool, "a folder"),
    "device": DEVICE,
    "threads": _at_least(1),
    "save_seconds": ABOVE_ZERO,
}
"""None passes wherever the type allows it: it means that there is no such limit, or that it is found out."""


LAUNCHING: dict[str, Rule] = {
    "cluster.jobs": _at_least(1),
    "cluster.lanes": _at_least(1),
    "cluster.minutes": _at_least(1),
    "cluster.min_minutes": _at_least(1),
    "cluster.max_minutes": _at_least(1),
    "cluster.max_array": _at_least(1),
    "cluster.warn_seconds": _at_least(1),
    "budget.su": _at_least(0),
    "tune.trials": _at_least(1),
    "tune.parallel": _at_least(1),
    "tune.seed": _at_least(0),
}
"""The same for a study as a whole."""


def of_setting(name: str, value: Any) -> str | None:
    """What the setting must be in words, if it cannot have this value of its type."""
    holds, expected = RULES.get(name, (lambda _: True, ""))
    return expected if value is not None and not holds(value) else None


def check(config: RunConfig) -> list[str]:
    """Every fault of one run's settings, as sentences; empty if there is none."""
    return [*_ranges(config, RULES), *_combinations(config)]


def check_launching(config: SweepConfig) -> list[str]:
    """Every fault of the settings that say where a study runs and what it may cost."""
    cluster = config.cluster
    faults = list(_ranges(config, LAUNCHING))
    if cluster.minutes is not None and cluster.minutes > cluster.max_minutes:
        faults.append(
            f"cluster.minutes={cluster.minutes}: {cluster.name} allows {cluster.max_minutes}; "
            f"jobs that need longer save and continue in the queue."
        )
    try:
        gpu_of(cluster)
    except ConfigError as error:
        faults.append(str(error))
    return faults


def require(configs: Iterable[RunConfig]) -> None:
    """Raise ConfigError with the faults of all `configs`, each once."""
    faults = dict.fromkeys(fault for config in configs for fault in check(config))
    if faults:
        raise ConfigError.of(faults)


def check_output(output: str | Path) -> None:
    """Raise ConfigError unless a file can be written below `output`: one is, and is removed again.

    A folder that does not exist is not made; then its nearest existing parent is tried.
    """
    output = Path(output).expanduser().absolute()
    nearest = next(path for path in (output, *output.parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=".", suffix=".tmp") as probe:
            probe.write(b"written to see whether it can be")
    except OSError as error:
        where = "" if nearest == output else f" (of this path, {nearest} exists)"
        raise ConfigError(
            f"output={output} cannot be written to: {error.strerror}{where}. "
            f"Expected a folder that is yours, with room in it; choose one with output=DIR."
        ) from None


def _ranges(config: RunConfig, rules: Mapping[str, Rule]) -> Iterator[str]:
    for name, (holds, expected) in rules.items():
        value = functools.reduce(getattr, name.split("."), config)
        if value is not None and not holds(value):
            yield f"{name}={_written(value)}: expected {expected}."


def _combinations(config: RunConfig) -> Iterator[str]:
    train, data = config.train, config.data
    if data.name == "folder" and not data.root:
        yield "data=folder needs the folder that the cultures lie in: add data.root=DIR."
    if data.name == "toy" and data.root and not data.digest:  # the plan fills in both
        yield f"data.root={data.root} is not used by data=toy, which renders its own; add data=folder."
    if config.wandb.live and config.wandb.mode is not WandbMode.online:
        yield (
            f"wandb.live=true sends curves while the jobs run, and wandb.mode={config.wandb.mode.name} sends nothing; "
            f"add wandb.mode=online."
        )
    if config.tensorboard and importlib.util.find_spec("tensorboard") is None:
        yield "tensorboard=true needs a package: pip install 'scoft-hpc[tensorboard]'."
    if train.steps is not None and 1 <= train.steps < train.warmup_steps:
        yield (
            f"train.warmup_steps={train.warmup_steps} is more than train.steps={train.steps}; "
            f"expected a warm-up that ends within the training."
        )
    yield from _prompting(config)


def _prompting(config: RunConfig) -> Iterator[str]:
    settings = config.evaluation
    if settings.images and config.variant is not Variant.base:
        yield (
            f"evaluation.images={settings.images} is scored in place of what a base draws: it needs variant=base; "
            f"for all in one table: ablation=baselines 'ablation.axes={{evaluation.images: [null, DIR]}}'."
        )
    if settings.prompting is Prompting.rewritten and not settings.rewrites and config.data.name != "toy":
        yield (
            "evaluation.prompting=rewritten needs the rewritten prompts: add evaluation.rewrites=FILE "
            "(`python -m scoft_hpc.rewrite` has a language model write one)."
        )


def _written(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
