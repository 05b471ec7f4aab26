"""The weights of the networks that judge samples: found on this machine, checked and given a digest; not loaded."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from scoft_hpc.config.metrics import METRICS, Embedder
from scoft_hpc.config.schema import Scoring
from scoft_hpc.errors import ConfigError
from scoft_hpc.inputs.checkpoints import hub, safetensors_header
from scoft_hpc.inputs.checkpoints.digest import digest
from scoft_hpc.inputs.checkpoints.files import shards
from scoft_hpc.inputs.toy.world import ASSETS
from scoft_hpc.study.json_files import read_json

TOY = "toy"
"""Stands for the toy world's own CLIP, which ships in this folder:"""
TOY_CLIP = ASSETS / "clip"
DINO_HUB = "facebook/dinov2-large"


@dataclass(frozen=True)
class Judge:
    """A network that judges, as scores.json names it."""

    name: str
    digest: str


def resolve(scoring: Scoring) -> Scoring:
    """The same with absolute paths of the networks that its metrics look through.

    Raises:
        ConfigError: with all faults, if one is not there, or not whole, or another network's.
    """
    faults: list[str] = []
    needed = networks(scoring.metrics)
    if scoring.features == TOY and scoring.features_path is not None:
        faults.append(
            f"scoring.features_path={scoring.features_path} is not used by scoring.features=toy; leave it out."
        )
    elif "features" in needed and scoring.features != TOY:
        try:
            scoring = replace(scoring, features_path=str(features(scoring)))
        except ConfigError as error:
            faults.append(f"{error} {_without('features')}")
    if "clip" in needed and scoring.clip != TOY:
        try:
            scoring = replace(scoring, clip=str(clip(scoring)))
        except ConfigError as error:
            faults.append(f"{error} {_without('clip')}")
    if faults:
        raise ConfigError.from_messages(faults)
    return scoring


def networks(metrics: Iterable[str]) -> set[Embedder]:
    """Which of `features` and `clip` the metrics look through."""
    return {embedder for name in metrics if (embedder := METRICS[name].embedder) is not None}


def features(scoring: Scoring) -> Path:
    """The folder of the network of `scoring.features`. Raises ConfigError as `resolve` does."""
    if scoring.features == TOY:
        return TOY_CLIP
    return _folder(scoring.features_path or DINO_HUB, DINO_HUB, "scoring.features_path", ("dinov2",), ())


def clip(scoring: Scoring) -> Path:
    """The folder of the network of `scoring.clip`. Raises ConfigError as `resolve` does."""
    if scoring.clip == TOY:
        return TOY_CLIP
    return _folder(scoring.clip, Scoring().clip, "scoring.clip", ("clip",), ("tokenizer.json",))


def judges(scoring: Scoring) -> dict[str, Judge]:
    """The networks that its metrics look through, as scores.json keeps them: name and digest of the weights."""
    found: dict[str, Judge] = {}
    for network in sorted(networks(scoring.metrics)):
        folder = features(scoring) if network == "features" else clip(scoring)
        name = scoring.features if network == "features" else Path(scoring.clip).name
        names = ["config.json", *(path.name for path in shards(folder / "model.safetensors"))]
        found[network] = Judge(name, digest(folder, names))
    return found


def _folder(given: str, example: str, setting: str, kinds: tuple[str, ...], more: tuple[str, ...]) -> Path:
    needs = ("config.json", *more)
    patterns = ("*.json", "*.txt", "model.safetensors")
    folder = hub.find(given, setting, needs=needs, patterns=patterns)
    kind = read_json(folder / "config.json").get("model_type")
    weights = shards(folder / "model.safetensors")
    faults = [f"{path.name} {fault}" for path in weights if (fault := safetensors_header.fault(path))]
    if kind not in kinds:
        faults.append(f"config.json says model_type: {kind!r}; expected {' or '.join(kinds)}")
    if not faults and not weights:
        faults.append(f"there is no model.safetensors{hub.broken_off(folder)}")
    if faults:
        line = hub.download(example, None, patterns)
        raise ConfigError(
            f"{setting}={given} cannot be used: {'; '.join(faults)}. Expected a network as {line} gets it."
        )
    return folder


def _without(network: Embedder) -> str:
    """How to do without a network."""
    names = [spec.name for spec in METRICS.values() if spec.by_default and spec.embedder == network]
    return f"Or leave out the metrics that look through it ({', '.join(names)}) with scoring.metrics=[…]."
