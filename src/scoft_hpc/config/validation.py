"""Values of the right type that make no sense, alone or together: all reported at once, before anything runs."""

from __future__ import annotations

import functools
import importlib.util
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from scoft_hpc.config.cluster import gpu_of
from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.config.schema import Prompting, RunConfig, Variant, WandbMode
from scoft_hpc.config.setting import Rule, policies, rules
from scoft_hpc.errors import ConfigError, collect

RULES = rules(RunConfig)
"""The settings of a run whose values are checked. None passes wherever the type allows it."""
LAUNCH_RULES = {name: rule for name, rule in rules(SweepConfig).items() if name not in policies(RunConfig)}
"""The same of a study as a whole."""


def range_error(name: str, value: Any) -> str | None:
    """The expected range of the setting, if the value is outside of it; otherwise None."""
    rule = RULES.get(name)
    return rule.expected if rule and value is not None and not rule.holds(value) else None


def validate(config: RunConfig) -> list[str]:
    """Every fault of one run's settings, and of its command's own, as sentences; empty if there is none."""
    return [*_ranges(config, rules(type(config))), *_combinations(config)]


def validate_launch(config: SweepConfig) -> list[str]:
    """Every fault of the settings that say where a study runs and what it may cost."""
    cluster = config.cluster
    faults = list(_ranges(config, LAUNCH_RULES))
    if cluster.minutes is not None and cluster.minutes > cluster.max_minutes:
        faults.append(
            f"cluster.minutes={cluster.minutes}: {cluster.name} allows {cluster.max_minutes}; "
            f"jobs that need longer save and continue in the queue."
        )
    collect(faults, gpu_of, cluster)
    return faults


def require_valid(configs: Iterable[RunConfig]) -> None:
    """Raise ConfigError with the faults of all `configs`, each once."""
    faults = dict.fromkeys(fault for config in configs for fault in validate(config))
    if faults:
        raise ConfigError.from_messages(faults)


def require_writable(output: str | Path) -> None:
    """Raise ConfigError unless a file can be written below `output`: a test file is written and removed.

    The folder is not created: if it does not exist, its nearest existing parent is tested.
    """
    output = Path(output).expanduser().absolute()
    nearest = next(path for path in (output, *output.parents) if path.exists())
    try:
        with tempfile.NamedTemporaryFile(dir=nearest, prefix=".", suffix=".tmp") as probe:
            probe.write(b"write test")
    except OSError as error:
        where = "" if nearest == output else f" (of this path, {nearest} exists)"
        raise ConfigError(
            f"output={output} cannot be written to: {error.strerror}{where}. "
            f"Expected a writable folder with free space; choose one with output=DIR."
        ) from None


def _ranges(config: RunConfig, checked: Mapping[str, Rule]) -> Iterator[str]:
    for name, rule in checked.items():
        value = functools.reduce(getattr, name.split("."), config)
        if value is not None and not rule.holds(value):
            yield f"{name}={_formatted(value)}: expected {rule.expected}."


def _combinations(config: RunConfig) -> Iterator[str]:
    train, data = config.train, config.data
    if data.name == "folder" and not data.root:
        yield "data=folder needs the folder that holds the cultures: add data.root=DIR."
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


def _formatted(value: Any) -> str:
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
