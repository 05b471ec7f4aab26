"""A run's id says what it computes, and nothing of where."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Iterator
from typing import Any

import pytest

from scoft_hpc.config.compose import compose
from scoft_hpc.config.identity import run_id
from scoft_hpc.config.schema import (
    ContrastiveForm,
    NegativeSource,
    Prompting,
    RunConfig,
    Variant,
    Wandb,
    WandbMode,
)
from scoft_hpc.config.setting import policy_of
from scoft_hpc.config.terms import TERMS, Term, needs_rollout
from scoft_hpc.study.paths import RUN_ID
from settings_changes import changed


def _id(**changes: object) -> str:
    return run_id(changed(RunConfig(), {name.replace("__", "."): value for name, value in changes.items()}))


def test_reads_well() -> None:
    head, _, digest = _id(culture="korea", variant=Variant.mpc, seed=3).rpartition("-")
    assert head == "korea-mpc-s3"
    assert len(digest) == 8


@pytest.mark.parametrize(
    "change",
    [
        {"output": "/x"},
        {"device": "cpu"},
        {"threads": 3},
        {"study": "a"},
        {"save_seconds": 1.0},
        {"wandb": Wandb(WandbMode.online, live=True)},
        {"tensorboard": True},
        {"data__root": "/x"},
        {"model__path": "/x"},
        {"model__gflop": 1.0},
        {"objective__vgg_path": "/x"},
        {"evaluation__rewrites": "/x"},
    ],
)
def test_place_does_not_matter(change: dict[str, object]) -> None:
    assert _id(**change) == _id()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"culture": "china"},
        {"variant": Variant.mp},
        {"train__lr": 1.0},
        {"train__betas": (0.5, 0.9)},
        {"lora__rank": 3},
        {"lora__targets": ("to_q",)},
        {"objective__every": 3},
        {"objective__form": ContrastiveForm.triplet},
        {"model__digest": "a"},
        {"model__resolution": 8},
        {"data__digest": "b"},
        {"data__negatives__seed": 1},
        {"evaluation__seed": 2},
        {"evaluation__prompting": Prompting.named},
        {"evaluation__digest": "c"},
    ],
)
def test_science_matters(change: dict[str, object]) -> None:
    assert _id(**change) != _id()


TRAINED = {Variant.ldm, Variant.m, Variant.mp, Variant.mpc}
ROLLED = {Variant.mp, Variant.mpc}
FULL = {Variant.mpc}
USED_BY = {
    "objective.w_ldm": TRAINED,
    "objective.w_m": TRAINED - {Variant.ldm},
    **dict.fromkeys(
        (
            "objective.distance",
            "objective.digest",
            "objective.w_c",
            "objective.w_vgg",
            "objective.every",
            "objective.cadence",
            "objective.gradient",
            "objective.guidance",
            "objective.rollout_steps",
        ),
        ROLLED,
    ),
    **dict.fromkeys(("objective.form", "objective.triplet_lambda", "objective.triplet_margin"), FULL),
    "data.random_flip": TRAINED,
}
"""The variants whose runs depend on a setting; of one that is not named here: all of its group."""
GROUPS = {"data.negatives.": FULL, "lora.": TRAINED, "train.": TRAINED, "": set(Variant)}
EFFECTIVE = {"objective.form": ContrastiveForm.triplet, "train.steps": None}
"""What no setting is without effect under."""


def _used_by(name: str) -> set[Variant]:
    return USED_BY.get(name) or next(variants for group, variants in GROUPS.items() if name.startswith(group))


def _another(value: Any) -> Any:
    """A value of the same kind; where that is open, of one that the id can be made of."""
    if isinstance(value, enum.Enum):
        return next(member for member in type(value) if member is not value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, tuple):
        return value[:1]
    return 1 if value is None else value + 1


def _science(part: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting of the science half by its dotted name."""
    for field in dataclasses.fields(part):
        value, name = getattr(part, field.name), prefix + field.name
        if policy_of(field).infra:
            continue
        if dataclasses.is_dataclass(value):
            yield from _science(value, f"{name}.")
        else:
            yield name, value


OWN = ("culture", "variant", "seed")
SETTINGS = [name for name, _ in _science(RunConfig()) if name not in OWN]


def test_the_settings_are_all_there() -> None:
    assert set(USED_BY) < set(SETTINGS) and len(SETTINGS) > 45


@pytest.mark.parametrize("variant", Variant)
@pytest.mark.parametrize("name", SETTINGS)
def test_an_id_depends_on_what_its_variant_uses_and_on_nothing_else(variant: Variant, name: str) -> None:
    config = changed(RunConfig(variant=variant), EFFECTIVE)
    other = changed(config, {name: _another(dict(_science(config))[name])})
    assert (run_id(other) != run_id(config)) == (variant in _used_by(name))


def test_what_a_variant_uses_follows_from_its_terms() -> None:
    assert {variant for variant, terms in TERMS.items() if terms} == TRAINED
    assert {variant for variant, terms in TERMS.items() if Term.m in terms} == USED_BY["objective.w_m"]
    assert {variant for variant in Variant if needs_rollout(variant)} == ROLLED
    assert {v for v, terms in TERMS.items() if Term.c in terms} == USED_BY["objective.form"]


@pytest.mark.parametrize(
    ("under", "idle"),
    [
        (
            {"objective.form": ContrastiveForm.official},
            {"objective.triplet_margin": 0.7, "objective.triplet_lambda": 2.0},
        ),
        ({"train.steps": 5}, {"train.epochs": 7}),
        ({"data.negatives.source": NegativeSource.txt2img}, {"data.negatives.strength": 0.3}),
    ],
)
def test_a_setting_that_another_leaves_without_effect_leaves_the_id(
    under: dict[str, Any], idle: dict[str, Any]
) -> None:
    config = changed(RunConfig(), under)
    assert run_id(changed(config, idle)) == run_id(config)


def test_another_generators_images_depend_on_nothing_that_draws() -> None:
    own = {"variant": Variant.base, "evaluation__images": "/x"}
    images = _id(**own)
    assert images.startswith("korea-images-s0-") and _id(**{**own, "evaluation__images": "/y"}) == images
    for change in (
        {"evaluation__steps": 3},
        {"evaluation__guidance": 1.0},
        {"evaluation__prompting": Prompting.named},
        {"train__lr": 1.0},
    ):
        assert _id(**own, **change) == images
    for change in ({"evaluation__digest": "a"}, {"evaluation__samples": 2}, {"data__digest": "a"}):
        assert _id(**own, **change) != images


def test_what_the_model_is_told_is_read_in_the_id() -> None:
    assert _id(evaluation__prompting=Prompting.rewritten).startswith("korea-mpc-rewritten-s0-")


@pytest.mark.parametrize("culture", ["perú", "한국", "../../etc", "A b", ".", "x" * 100])
def test_any_culture_makes_a_safe_id(culture: str) -> None:
    assert RUN_ID.fullmatch(_id(culture=culture))


GOLDEN: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "a0ebcb25 5db6a7bc 7c283320 d926a10b d01cb3e6"),
    ({"objective.form": ContrastiveForm.triplet}, "a0ebcb25 5db6a7bc 7c283320 d926a10b 413eee94"),
    ({"train.steps": 5}, "a0ebcb25 72563639 391d2306 41d51d18 3ca8a7c5"),
    ({"data.negatives.source": NegativeSource.txt2img}, "a0ebcb25 5db6a7bc 7c283320 d926a10b 77a89a97"),
    ({"variant": Variant.base, "evaluation.images": "/x"}, "46daaf24"),
    ({"evaluation.prompting": Prompting.named}, "0b541226 4080359a f82a7da1 f7d48e6a 5e5aa3c2"),
)
"""The ids of runs of all variants under some settings, as they were before policies became metadata: studies on disk
have them.
"""

COMPOSED = (
    ("", "83e14917 092ebcde 5e5cb7eb 777d4430 9d166ef8"),
    ("model=sd14 data=folder data.root=/x", "5f1c9961 9e53bd90 2c548746 72847411 1278dd09"),
    ("objective=triplet model=sd21", "3c8481bb 35c5f698 641752d5 2a7488ff bda01bca"),
)
"""The same of configs composed from words; the first is the default study's, before the plan fills digests in."""


@pytest.mark.parametrize(("changes", "digests"), GOLDEN)
def test_ids_stay_what_they_are(changes: dict[str, Any], digests: str) -> None:
    variants = [Variant.base] if "variant" in changes else list(Variant)
    ids = [run_id(changed(RunConfig(variant=variant), changes)) for variant in variants]
    assert [name.rpartition("-")[2] for name in ids] == digests.split()


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "digests"), COMPOSED)
def test_ids_of_composed_configs_stay_what_they_are(arguments: str, digests: str) -> None:
    ids = [run_id(compose("train", [*arguments.split(), f"variant={variant.name}"])) for variant in Variant]
    assert [name.rpartition("-")[2] for name in ids] == digests.split()
