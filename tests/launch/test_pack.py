"""Packing: every run once, within the lanes, alike in what must be shared, and balanced."""

from __future__ import annotations

import itertools
import random
from dataclasses import replace

import pytest

from scoft_hpc.config.identity import run_id
from scoft_hpc.config.schema import (
    ContrastiveForm,
    Evaluation,
    Gradient,
    Lora,
    Model,
    Negatives,
    NegativeSource,
    Objective,
    RunConfig,
    Train,
    Variant,
)
from scoft_hpc.launch.planning.packing import make_packs, pack_key, run_cost
from scoft_hpc.launch.planning.plan import Run

TOY = RunConfig(
    model=Model(resolution=64),
    lora=Lora(rank=8),
    train=Train(steps=80, lr=5e-4),
    evaluation=Evaluation(steps=20),
)


def run(config: RunConfig) -> Run:
    return Run(run_id(config), config, 0 if config.variant is Variant.base else config.train.steps or 0)


def study(cultures: int = 5, seeds: int = 1, base: RunConfig = TOY) -> list[Run]:
    each = itertools.product(range(cultures), Variant, range(seeds))
    return [run(replace(base, culture=f"c{c}", variant=v, seed=s)) for c, v, s in each]


def test_two_jobs_get_halves_that_keep_cultures_together() -> None:
    packs = make_packs(study(), jobs=2, lanes=None)
    assert len(packs) == 2
    assert packs[0].cost / packs[1].cost < 1.05
    homes = [{r.config.culture for r in p.runs} for p in packs]
    assert len(homes[0] & homes[1]) == 1, "of five cultures only one is split between two jobs"


@pytest.mark.parametrize("seed", range(40))
def test_whatever_is_left_is_packed_once_within_the_lanes_and_balanced(seed: int) -> None:
    rng = random.Random(seed)
    runs = study(cultures=rng.randint(1, 6), seeds=rng.randint(1, 3))
    runs = [r for r in runs if rng.random() < 0.8] or runs
    jobs, lanes = rng.randint(1, 5), rng.choice([None, 1, 2, 5, 8])
    packs = make_packs(runs, jobs, lanes)
    packed = [r.run_id for p in packs for r in p.runs]
    assert sorted(packed) == sorted(r.run_id for r in runs)
    assert all(len(p.runs) <= (lanes or len(runs)) for p in packs)
    assert [p.cost for p in packs] == sorted((sum(map(run_cost, p.runs)) for p in packs), reverse=True)
    place = {r.run_id: i for i, r in enumerate(runs)}
    assert all([place[r.run_id] for r in p.runs] == sorted(place[r.run_id] for r in p.runs) for p in packs)
    if lanes is None:
        assert len(packs) == min(jobs, len(runs))
        average = sum(map(run_cost, runs)) / len(packs)
        largest = max(map(run_cost, runs))
        assert all(average - largest <= p.cost <= average + largest for p in packs)


@pytest.mark.parametrize(
    "other",
    [
        replace(TOY, model=replace(TOY.model, resolution=128)),
        replace(TOY, lora=Lora(rank=4)),
        replace(TOY, train=replace(TOY.train, batch=2)),
        replace(TOY, train=replace(TOY.train, steps=40)),
        replace(TOY, evaluation=replace(TOY.evaluation, steps=10)),
        replace(TOY, objective=replace(TOY.objective, every=5)),
        replace(TOY, data=replace(TOY.data, pairs=4)),
    ],
)
def test_runs_that_cannot_share_a_network_are_kept_apart(other: RunConfig) -> None:
    runs = study(2) + study(2, base=replace(other, data=replace(other.data, digest="another")))
    for p in make_packs(runs, jobs=1, lanes=None):
        assert len({pack_key(r) for r in p.runs if r.config.variant is not Variant.base}) == 1


def test_runs_may_differ_in_objective_seed_and_learning_rate() -> None:
    mpc = replace(TOY, variant=Variant.mpc)
    lanes = [
        replace(
            mpc,
            objective=Objective(
                form=ContrastiveForm.triplet, gradient=Gradient.last, distance="dino", w_c=0.2
            ),
        ),
        replace(mpc, seed=4, culture="elsewhere", train=replace(mpc.train, lr=1e-3)),
        replace(mpc, data=replace(mpc.data, digest="another")),
        replace(mpc, objective=replace(mpc.objective, digest="of its networks")),
        replace(
            mpc,
            data=replace(mpc.data, negatives=Negatives(NegativeSource.depth, 3, digest="of a ControlNet")),
        ),
        replace(TOY, variant=Variant.base),
        mpc,
    ]
    assert len(make_packs(list(map(run, lanes)), jobs=1, lanes=None)) == 1


def test_a_base_joins_lanes_of_any_training_but_not_of_another_sampling() -> None:
    base = replace(TOY, variant=Variant.base)
    trained = replace(TOY, variant=Variant.mpc, train=replace(TOY.train, steps=7), lora=Lora(rank=2))
    assert len(make_packs([run(base), run(trained)], jobs=1, lanes=None)) == 1
    finer = replace(trained, evaluation=replace(TOY.evaluation, steps=50))
    assert len(make_packs([run(base), run(finer)], jobs=1, lanes=None)) == 2


def test_a_variant_costs_more_the_more_it_computes() -> None:
    costs = [
        run_cost(run(replace(TOY, variant=v))) for v in (Variant.base, Variant.ldm, Variant.m, Variant.mp)
    ]
    assert costs == sorted(set(costs))
    assert run_cost(run(replace(TOY, variant=Variant.mp))) == run_cost(run(replace(TOY, variant=Variant.mpc)))
    rare = replace(TOY, variant=Variant.mpc, objective=replace(TOY.objective, every=1000))
    assert run_cost(run(rare)) == pytest.approx(run_cost(run(replace(TOY, variant=Variant.m))), rel=0.02)


def test_where_lanes_are_too_few_each_job_gets_as_many_packs() -> None:
    packs = make_packs(study(seeds=3), jobs=2, lanes=32)
    assert len(packs) == 4, "three would leave one job idle while the other takes the last"
    assert packs[0].cost / packs[-1].cost < 1.3
