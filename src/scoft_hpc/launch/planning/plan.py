"""A study's plan: every combination of the ablation's axes, for every culture and seed, as frozen configs.

An *arm* is one combination of the axes' values (`ablation_grid` says which there are), composed from the command
line's overrides and the axes' own, so that an axis may be any setting or config group. It is composed once; cultures
and seeds replace two fields.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from scoft_hpc.config import ablation_product, compose, validation
from scoft_hpc.config.command_configs import SweepConfig
from scoft_hpc.config.identity import run_id
from scoft_hpc.config.plain import to_override
from scoft_hpc.config.schema import Data, NegativeSource, RunConfig, Variant
from scoft_hpc.config.setting import lineage
from scoft_hpc.errors import ConfigError, DataError, collect
from scoft_hpc.inputs import data_root, dataset, external_images, prompts
from scoft_hpc.inputs.checkpoints import families
from scoft_hpc.inputs.checkpoints.distances import resolve as resolve_networks
from scoft_hpc.inputs.checkpoints.embedders import resolve as resolve_judges
from scoft_hpc.inputs.checkpoints.negatives import faults as foreign
from scoft_hpc.inputs.checkpoints.negatives import resolve as resolve_negatives
from scoft_hpc.inputs.dataset import Manifest
from scoft_hpc.launch.planning.ablation_grid import expand_grid
from scoft_hpc.study.paths import STUDY


@dataclass(frozen=True)
class Run:
    """A planned run; `steps` is the number of training updates it will make (0 for a base)."""

    run_id: str
    config: RunConfig
    steps: int


@dataclass(frozen=True)
class Plan:
    """A study before anything is sent; runs by culture, arm and seed."""

    study: str
    ablation: str
    output: Path
    overrides: tuple[str, ...]
    runs: tuple[Run, ...]


def build_plan(config: SweepConfig, overrides: Sequence[str]) -> Plan:
    """Plan the study that `config`, composed from `overrides`, describes.

    Raises:
        ConfigError: for settings and axes that do not fit, all at once.
        DataError: for the faults of all cultures, all at once.
    """
    output = Path(config.output).expanduser().absolute()
    faults: list[str] = []
    seeds = collect(faults, _seeds, config.seed)
    arms = collect(faults, _arms, config, overrides)
    if config.study is not None and not STUDY.fullmatch(config.study):
        faults.append(
            f"study={config.study}: expected letters, digits, `_`, `-` and `.`, at most 81 of them."
        )
    if seeds is None or arms is None or faults:
        raise ConfigError.from_messages(faults)
    validation.require_valid(arms)
    arms = _resolved(arms, output)
    roots = {arm.data: data_root.locate(arm.data, output) for arm in arms}
    options = dict.fromkeys(name for root in roots.values() for name in dataset.cultures(root))
    names = dataset.select_cultures(config.culture, list(options))
    manifests = _manifests(arms, roots, names)
    runs = []
    for culture, arm in itertools.product(names, arms):
        read = manifests[arm.data, culture]
        data = replace(arm.data, root=str(roots[arm.data]), digest=read.digest)
        steps = 0 if arm.variant is Variant.base else arm.train.updates(len(read.pairs))
        for seed in external_images.seeds(arm, culture, seeds):
            run = replace(arm, culture=culture, seed=seed, data=data)
            with_digest = external_images.with_digest if run.evaluation.images else prompts.with_digest
            evaluation = collect(faults, with_digest, run, read)
            if evaluation is not None:
                run = replace(run, evaluation=evaluation)
                runs.append(Run(run_id(run), run, steps))
    if faults:
        raise DataError.from_messages(dict.fromkeys(faults))
    every = set(names) == set(dataset.cultures(next(iter(roots.values()))))
    which = names[0] if len(names) == 1 else "all" if every else f"{len(names)}-cultures"
    study = config.study or _study_name(config.ablation.name, which, config.data.name)
    unique: dict[str, Run] = {}
    for planned in runs:
        named = replace(planned, config=replace(planned.config, study=study))
        unique.setdefault(planned.run_id, named)
    return Plan(study, config.ablation.name, output, tuple(overrides), tuple(unique.values()))


def _arms(config: SweepConfig, overrides: Sequence[str]) -> list[RunConfig]:
    """One run config a combination of the axes' values, in the order in which the axes list them."""
    axes, faults = config.ablation.axes, []
    given = {_key(text): text for text in overrides}
    for axis, values in axes.items():
        if not all(policy.axis for policy in lineage(SweepConfig, axis)):
            faults.append(
                f"ablation.axes.{axis}: not a setting that an ablation can vary; write {axis}=… itself."
            )
        elif axis in given:
            faults.append(
                f"`{given[axis]}`: the ablation {config.ablation.name} varies `{axis}` itself over "
                f"{to_override(values)}; to restrict it, give some of these with "
                f"{_restricted(axis, given[axis].partition('=')[2])}."
            )
    narrowed = any(key == "sweep" or key.startswith("ablation.axes") for key in given)
    combinations = collect(faults, lambda: expand_grid(config.ablation, narrowed=narrowed))
    if combinations is None or faults:
        raise ConfigError.from_messages(faults)
    if not axes:
        return [_as_run(config)]
    arms = [collect(faults, compose.compose, "sweep", overrides, combination) for combination in combinations]
    if faults:
        raise ConfigError.from_messages(dict.fromkeys(faults))
    return [_as_run(arm) for arm in arms if arm is not None]


def _restricted(axis: str, value: str) -> str:
    """The override that leaves an axis one value; a dot in its key would be a level of its own."""
    return f"'ablation.axes={{{axis}: [{value}]}}'" if "." in axis else f"'ablation.axes.{axis}=[{value}]'"


def _as_run(sweep: SweepConfig) -> RunConfig:
    """The run half of a sweep's config, its culture and seed still open."""
    values = {f.name: getattr(sweep, f.name) for f in fields(RunConfig)}
    return RunConfig(**{**values, "culture": "", "seed": 0})


def _resolved(arms: list[RunConfig], output: Path) -> list[RunConfig]:
    """The arms with absolute paths and the digests of all weights that they need.

    Raises:
        ConfigError: for all weights that are not there or cannot be used, at once.
    """
    faults: list[str] = []
    models = {model: collect(faults, families.resolve, model) for model in {arm.model for arm in arms}}
    judges = {scoring: collect(faults, resolve_judges, scoring) for scoring in {arm.scoring for arm in arms}}
    done = []
    for arm in arms:
        model = models[arm.model]
        negatives = (
            collect(faults, resolve_negatives, arm.data.negatives) if _draws(arm) else arm.data.negatives
        )
        objective = collect(faults, resolve_networks, arm.objective, arm.variant)
        scoring = judges[arm.scoring]
        if model and negatives and objective and scoring:
            data = replace(arm.data, negatives=negatives)
            evaluation = external_images.without_sampling(arm.evaluation)
            arm = replace(
                arm, model=model, data=data, objective=objective, evaluation=evaluation, scoring=scoring
            )
            done.append(replace(arm, output=str(output)))
            faults += families.faults(arm)
            faults += families.family_of(model).sampling_faults(model, _sampling_steps(arm))
            if negatives.digest:
                faults += foreign(negatives, Path(model.path))
    if faults:
        raise ConfigError.from_messages(dict.fromkeys(faults))
    return list(dict.fromkeys(done))


def _draws(arm: RunConfig) -> bool:
    """Whether the arm's preparation draws negatives, as far as its culture brings none."""
    return arm.variant is not Variant.base


def _sampling_steps(arm: RunConfig) -> dict[str, int]:
    """The settings that say in how many steps the base model draws images."""
    steps = {} if arm.evaluation.images else {"evaluation.steps": arm.evaluation.steps}
    if _draws(arm) and arm.data.negatives.source is not NegativeSource.given:
        steps["data.negatives.steps"] = arm.data.negatives.steps
    return steps


def _seeds(seed: Any) -> list[int]:
    seeds = seed if isinstance(seed, (list, tuple)) else [seed]
    if not seeds or any(isinstance(s, bool) or not isinstance(s, int) or s < 0 for s in seeds):
        raise ConfigError(
            f"seed={to_override(seed)}: expected a number from 0 on, or a list such as 'seed=[0,1,2]'."
        )
    return list(dict.fromkeys(seeds))


def _manifests(
    arms: list[RunConfig], roots: dict[Data, Path], names: list[str]
) -> dict[tuple[Data, str], Manifest]:
    """Each culture's manifest under each arm's data settings, read once per folder and number of pairs."""
    read: dict[tuple[Path, int | None, str], Manifest | None] = {}
    faults: list[str] = []
    for data, name in itertools.product(roots, names):
        key = (roots[data], data.pairs, name)
        if key not in read:
            read[key] = collect(faults, dataset.read, key[0], name, data.pairs)
    for arm in arms:
        for name in names:
            if (manifest := read[roots[arm.data], arm.data.pairs, name]) is not None:
                faults += dataset.check_negatives(arm, manifest)
    if faults:
        raise DataError.from_messages(dict.fromkeys(faults))
    manifests = {
        (data, name): read[roots[data], data.pairs, name] for data, name in itertools.product(roots, names)
    }
    return {key: value for key, value in manifests.items() if value is not None}


def _study_name(*parts: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", "-".join(parts).replace(ablation_product.SIGN, "-")).lstrip("_.-")
    return name[:81] or "study"


def _key(text: str) -> str:
    """The setting that an override is about."""
    return re.split(r"[=@]", text.lstrip("+~"), maxsplit=1)[0]
