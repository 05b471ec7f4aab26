"""Packs: which runs share one process and one frozen base, balanced so that all jobs end together."""

from __future__ import annotations

import functools
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from scoft_hpc.config.identity import drop_keys, unused_by
from scoft_hpc.config.plain import science_fields
from scoft_hpc.config.schema import RunConfig, Variant
from scoft_hpc.config.setting import policies
from scoft_hpc.inputs.model_costs import costs_of
from scoft_hpc.launch.planning.plan import Run

PER_LANE = tuple(name for name, policy in policies(RunConfig).items() if policy.per_lane)
"""The science settings that lanes of one pack need not share; any other keeps runs apart."""

Costs = dict[str, float]
"""What each run costs, by its id."""


@dataclass(frozen=True)
class Pack:
    """Runs that one job works on, in the plan's order, and what they cost together."""

    runs: tuple[Run, ...]
    cost: float


def make_packs(runs: Sequence[Run], jobs: int, lanes: int | None) -> list[Pack]:
    """Split `runs` into packs of at most `lanes` lanes for `jobs` jobs, the costliest first.

    Runs of one culture and seed share their data and stay together, but for the few that balance the jobs. Where the
    lanes do not hold a job's share at once, its packs go round after round: as many to each job.
    """
    groups = _shareable(runs)
    costs = {run.run_id: run_cost(run) for run in runs}
    total = sum(costs.values()) or 1.0
    packs: list[Pack] = []
    for group in groups:
        share = sum(costs[run.run_id] for run in group) / total
        n_jobs = max(round(jobs * share), 1)
        rounds = math.ceil(len(group) / (n_jobs * lanes)) if lanes else 1
        count = n_jobs * rounds
        packs += _split(group, min(count, len(group)), lanes, costs)
    return sorted(packs, key=lambda p: -p.cost)


def run_cost(run: Run) -> float:
    """What training and drawing the samples cost, in forward passes of the U-Net over one sample."""
    config, guided = run.config, 2
    settings = config.evaluation
    drawn = settings.prompts * settings.samples
    if settings.images:
        return float(drawn)  # they are there: next to nothing
    drawn += settings.neutral * settings.samples
    costs = costs_of(config.model)
    decode, decode_backward = costs.passes(costs.decode), costs.passes(costs.decode_backward)
    drawing = drawn * (config.evaluation.steps * guided + decode)
    if config.variant is Variant.base:
        return drawing
    objective, batch = config.objective, config.train.batch
    trained = costs.passes(costs.denoiser_lora + costs.denoiser_backward)
    update = batch * (trained + (config.variant is not Variant.ldm))
    if config.variant in (Variant.mp, Variant.mpc):
        rollout = objective.rollout_steps * guided + decode + decode_backward
        update += batch / objective.every * rollout
    return run.steps * update + drawing


def pack_key(run: Run) -> str:
    """What a pack's trained lanes have in common."""
    return _keys(_arm(run))[0]


def _shareable(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs grouped by what they must share; a base run joins any group with its model and sampling."""
    groups: dict[str, list[Run]] = defaultdict(list)
    home: dict[str, str] = {}
    for run in runs:
        if run.config.variant is not Variant.base:
            groups[pack_key(run)].append(run)
            home.setdefault(_untrained_key(run), pack_key(run))
    for run in runs:
        if run.config.variant is Variant.base:
            untrained = _untrained_key(run)
            groups[home.get(untrained, untrained)].append(run)
    place = {run.run_id: i for i, run in enumerate(runs)}
    return [sorted(group, key=lambda run: place[run.run_id]) for group in groups.values()]


def _split(runs: list[Run], count: int, lanes: int | None, costs: Costs) -> list[Pack]:
    """`runs` in `count` packs of about equal cost."""
    remaining, packs = sorted(runs, key=_data), []
    place = {run.run_id: i for i, run in enumerate(runs)}
    total = sum(costs[run.run_id] for run in runs)
    for n in range(count, 0, -1):
        # Enough must remain for the packs to come, and no more than they can hold.
        most = min(lanes or len(remaining), len(remaining) - (n - 1))
        least = max(1, len(remaining) - (n - 1) * lanes) if lanes else 1
        chosen = remaining if n == 1 else _fill(remaining, total / n, least, most, costs)
        ids = {run.run_id for run in chosen}
        remaining = [run for run in remaining if run.run_id not in ids]
        members = tuple(sorted(chosen, key=lambda run: place[run.run_id]))
        packs.append(Pack(members, sum(costs[run.run_id] for run in members)))
        total -= packs[-1].cost
    return packs


def _fill(runs: list[Run], target: float, least: int, most: int, costs: Costs) -> list[Run]:
    """`least` to `most` of `runs` that cost about `target`: whole cultures, then lanes of one that fit."""
    members: dict[str, Run] = {}
    missing = target
    for _, same_data in groupby(runs, key=_data):
        group = list(same_data)
        for run in sorted(group, key=lambda run: costs[run.run_id], reverse=True):
            if costs[run.run_id] <= missing and len(members) < most:
                members[run.run_id] = run
                missing -= costs[run.run_id]
        if not all(run.run_id in members for run in group):
            break
    rest = [run for run in runs if run.run_id not in members] if len(members) < most else []
    while rest and len(members) < most:
        nearest = min(rest, key=lambda run: abs(missing - costs[run.run_id]))
        if len(members) >= least and abs(missing - costs[nearest.run_id]) >= missing:
            break
        rest.remove(nearest)
        members[nearest.run_id] = nearest
        missing -= costs[nearest.run_id]
    return list(members.values())


def _data(run: Run) -> tuple[str, int]:
    return run.config.culture, run.config.seed


def _untrained_key(run: Run) -> str:
    return _keys(_arm(run))[1]


def _arm(run: Run) -> RunConfig:
    """The run's settings without what every run has of its own."""
    return replace(run.config, culture="", seed=0, data=replace(run.config.data, digest=""))


@functools.lru_cache(maxsize=1024)
def _keys(arm: RunConfig) -> tuple[str, str]:
    """What trained lanes have in common, and what untrained ones do; the same for all runs of an arm."""
    half = science_fields(arm)
    return _key(half), _key(drop_keys(half, unused_by(Variant.base)))


def _key(half: dict[str, Any]) -> str:
    return json.dumps(drop_keys(half, PER_LANE), sort_keys=True)
