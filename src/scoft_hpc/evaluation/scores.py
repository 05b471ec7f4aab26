"""What a run's samples are worth: the toy world's truth, memorization and diversity."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scoft_hpc.data import images
from scoft_hpc.evaluation.generate import Subject
from scoft_hpc.evaluation.prompts import asked, sample_name, told
from scoft_hpc.runs import atomic
from scoft_hpc.toy.networks import Scorer
from scoft_hpc.toy.scenes import own_style

Metric = dict[str, float | int]


@torch.no_grad()
def score(subject: Subject, scorer: Scorer) -> None:
    """Write the run's scores.json from its samples on disk.

    Metrics, each with its sample size n:
        in_style, default_style: share of samples in the culture's own style, and in the style that the base falls
            back to; subject: share that shows what the prompt names. In the toy world only, where they are known.
        memorization: share of samples nearer to a training image than to any held-out one; 0.5 is chance where both
            sets are of one size. Absent without held-out images.
        diversity: mean distance between two samples of one prompt. Absent with one sample a prompt.
    Distances are 1 - cosine of the scorer's features, a network that no run is trained towards.
    """
    run, config, manifest = subject.run, subject.config, subject.manifest
    texts = asked(config, manifest)
    heard = told(config, texts)
    names = [(p, sample_name(p, s)) for p in range(len(texts)) for s in range(config.evaluation.samples)]
    size = config.model.resolution
    samples = images.read_images([run.samples / name for _, name in names], size)
    features = embed(scorer, samples)
    near_train = _nearest(
        features, embed(scorer, images.read_images([p.image for p in manifest.pairs], size))
    )
    rows: list[dict[str, Any]] = [
        {"file": f"samples/{name}", "prompt": texts[p], "told": heard[p], "nearest_train": float(near)}
        for (p, name), near in zip(names, near_train, strict=True)
    ]
    near_held_out: list[float | None] = [None] * len(rows)
    if manifest.held_out:
        held_out = embed(scorer, images.read_images([pair.image for pair in manifest.held_out], size))
        near_held_out = list(_nearest(features, held_out).tolist())
    truth = (
        _truth(scorer, samples, config.culture, [p for p, _ in names]) if config.data.name == "toy" else None
    )
    for i, row in enumerate(rows):
        row["nearest_held_out"] = near_held_out[i]
        for name in ("in_style", "default_style", "subject"):
            row[name] = None if truth is None else bool(truth[name][i])
    metrics = _shares(rows)
    pairs = _pairwise(features.view(len(texts), config.evaluation.samples, -1))
    if len(pairs):
        metrics["diversity"] = {"value": float(pairs.mean()), "n": len(pairs)}
    atomic.write_json(run.scores, {"run_id": run.run_id, "metrics": metrics, "samples": rows})


def embed(scorer: Scorer, x: Tensor) -> Tensor:
    """Images [N, 3, H, W] in [-1, 1] -> features of length 1, [N, D]."""
    x = _as_trained(x)
    return torch.nn.functional.normalize(torch.cat([scorer.trunk(part) for part in x.split(64)]), dim=1)


def _as_trained(x: Tensor) -> Tensor:
    """Images [N, 3, H, W] at the scorer's 64 pixels."""
    if x.shape[-1] == 64:
        return x
    return torch.nn.functional.interpolate(x, size=(64, 64), mode="bilinear", antialias=True)


def _nearest(a: Tensor, b: Tensor) -> Tensor:
    """The distance from each row of a [N, D] to the nearest row of b [M, D], [N]."""
    return 1 - (a @ b.T).amax(1)


def _pairwise(groups: Tensor) -> Tensor:
    """Distances between all pairs within each group of [G, S, D], flat."""
    first, second = torch.triu_indices(groups.shape[1], groups.shape[1], offset=1)
    return 1 - (groups[:, first] * groups[:, second]).sum(-1).flatten()


def _truth(scorer: Scorer, samples: Tensor, culture: str, subjects: list[int]) -> dict[str, Tensor]:
    """What the scorer reads off each sample; prompt i names subject i."""
    readings = [scorer(part) for part in _as_trained(samples).split(64)]
    style = torch.cat([reading.style for reading in readings]).argmax(1)
    shown = torch.cat([reading.subject for reading in readings]).argmax(1)
    return {
        "in_style": style == own_style(culture),
        "default_style": style == 0,
        "subject": shown == torch.tensor(subjects),
    }


def _shares(rows: list[dict[str, Any]]) -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}
    for name in ("in_style", "default_style", "subject"):
        if rows[0][name] is not None:
            metrics[name] = {"value": sum(row[name] for row in rows) / len(rows), "n": len(rows)}
    if rows[0]["nearest_held_out"] is not None:
        closer = [row["nearest_train"] < row["nearest_held_out"] for row in rows]
        metrics["memorization"] = {"value": sum(closer) / len(rows), "n": len(rows)}
    return metrics
