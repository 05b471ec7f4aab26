"""The networks of the perceptual distances: which of them an objective uses, located and hashed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from scoft_hpc.config import schema
from scoft_hpc.config.schema import Objective, Variant
from scoft_hpc.config.terms import needs_rollout
from scoft_hpc.errors import ConfigError, collect
from scoft_hpc.inputs.checkpoints.catalogue import DISTANCES
from scoft_hpc.inputs.checkpoints.spec import checkpoint_digest
from scoft_hpc.inputs.checkpoints.spec import locate as locate_checkpoint
from scoft_hpc.study.digests import text_digest

REVISIONS = {"vgg": 2}
"""Raised when the same weights come to give another distance, so that runs get other ids and cached targets other
names; 1 where absent. vgg 2: the maps of groups 1 to 4 are after ReLU."""


def resolve(objective: Objective, variant: Variant) -> Objective:
    """The objective with absolute paths of the networks that the variant uses, and their digest.

    Raises:
        ConfigError: with all problems, if a network is unknown, or its weights or its package are missing.
    """
    objective = replace(objective, digest="")
    if not needs_rollout(variant):
        return objective
    if objective.distance == "vgg" and objective.vgg_path is None:
        objective = replace(objective, vgg_path=objective.distance_path, distance_path=None)
    problems = list(_setting_problems(objective))
    paths: dict[str, Path] = {}
    for name in dict.fromkeys([objective.distance, *(["vgg"] if objective.w_vgg else [])]):
        if name in DISTANCES and (path := collect(problems, locate, name, objective)):
            paths[name] = path
    if problems:
        raise ConfigError.from_messages(problems)
    if "vgg" in paths:
        objective = replace(objective, vgg_path=str(paths["vgg"]))
    if objective.distance in paths and objective.distance != "vgg":
        objective = replace(objective, distance_path=str(paths[objective.distance]))
    return replace(objective, digest=_digest(paths))


def path_of(name: str, objective: Objective) -> str | None:
    """The value of the setting that names the weights of `name`; None: the default repository, or no weights."""
    return objective.vgg_path if name == "vgg" else objective.distance_path


def locate(name: str, objective: Objective) -> Path:
    """The absolute path of the weights of `name`, any but `toy`: a file for vgg, else a folder; all checks done.

    Raises:
        ConfigError: if they are missing, half-downloaded or another network's, or the network's package is missing.
    """
    return locate_checkpoint(DISTANCES[name], path_of(name, objective))


def _setting_problems(objective: Objective) -> Iterator[str]:
    name, path = objective.distance, objective.distance_path
    if name not in schema.DISTANCES:
        yield f"objective.distance={name}: not known; it is one of {', '.join(schema.DISTANCES)}."
    if path is not None and name == "toy":
        yield f"objective.distance_path={path} is not used by distance toy; leave it out."
    if path is not None and name == "vgg":
        yield f"objective.distance_path={path} is not used beside objective.vgg_path; leave it out."


def _digest(paths: Mapping[str, Path]) -> str:
    """16 hex digits over the contents and revisions of all networks; empty if there is none."""
    parts = []
    for name, path in sorted(paths.items()):
        revision = f":{REVISIONS[name]}" if name in REVISIONS else ""
        parts.append(f"{name}:{checkpoint_digest(DISTANCES[name], path)}{revision}")
    return text_digest("\n".join(parts)) if parts else ""
