"""The networks whose features the metrics use: which of them a scoring needs, located and hashed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from scoft_hpc.config.metrics import METRICS, Embedder
from scoft_hpc.config.schema import Scoring
from scoft_hpc.errors import ConfigError, collect
from scoft_hpc.inputs.checkpoints.catalogue import EMBEDDERS
from scoft_hpc.inputs.checkpoints.spec import checkpoint_digest, locate
from scoft_hpc.inputs.toy.world import ASSETS

TOY = "toy"
"""Names the toy world's own CLIP, which ships in this folder:"""
TOY_CLIP = ASSETS / "clip"


@dataclass(frozen=True)
class EmbedderRecord:
    """An embedder as scores.json names it."""

    name: str
    digest: str


def resolve(scoring: Scoring) -> Scoring:
    """The same with absolute paths of the networks that its metrics use.

    Raises:
        ConfigError: with all problems, if one is missing, incomplete, or another network's.
    """
    problems: list[str] = []
    needed = networks(scoring.metrics)
    if scoring.features == TOY and scoring.features_path is not None:
        problems.append(
            f"scoring.features_path={scoring.features_path} is not used by scoring.features=toy; leave it out."
        )
    elif "features" in needed and scoring.features != TOY:
        scoring = replace(scoring, features_path=_locate("features", scoring.features_path, problems))
    if "clip" in needed and scoring.clip != TOY:
        scoring = replace(scoring, clip=_locate("clip", scoring.clip, problems))
    if problems:
        raise ConfigError.from_messages(problems)
    return scoring


def networks(metrics: Iterable[str]) -> set[Embedder]:
    """Which of `features` and `clip` the metrics use."""
    return {embedder for name in metrics if (embedder := METRICS[name].embedder) is not None}


def folder_of(network: Embedder, scoring: Scoring) -> Path:
    """The folder of the network of `scoring.features` or `scoring.clip`. Raises ConfigError as `resolve` does."""
    is_features = network == "features"
    if (scoring.features if is_features else scoring.clip) == TOY:
        return TOY_CLIP
    return locate(EMBEDDERS[network], scoring.features_path if is_features else scoring.clip)


def embedder_records(scoring: Scoring) -> dict[str, EmbedderRecord]:
    """The networks that its metrics use, as scores.json stores them: name and digest of the weights."""
    records: dict[str, EmbedderRecord] = {}
    for network in sorted(networks(scoring.metrics)):
        name = scoring.features if network == "features" else Path(scoring.clip).name
        digest = checkpoint_digest(EMBEDDERS[network], folder_of(network, scoring))
        records[network] = EmbedderRecord(name, digest)
    return records


def _locate(network: Embedder, value: str | None, problems: list[str]) -> str:
    """The folder of a network; where it cannot be used, the problem says how to score without it."""
    path = collect(problems, locate, EMBEDDERS[network], value)
    names = [spec.name for spec in METRICS.values() if spec.by_default and spec.embedder == network]
    if path is None:
        problems[-1] += (
            f" Or leave out the metrics that use it ({', '.join(names)}) with scoring.metrics=[…]."
        )
    return str(path)
