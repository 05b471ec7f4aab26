"""Policies stand beside the settings, and the tables of validation, ids, packing, ablations and searches follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from scoft_hpc.config import validation
from scoft_hpc.config.command_configs import PrepareConfig, RewriteConfig, SweepConfig
from scoft_hpc.config.identity import unused, unused_by
from scoft_hpc.config.nodes import settings
from scoft_hpc.config.plain import science_fields, to_plain
from scoft_hpc.config.schema import ContrastiveForm, RunConfig, Variant
from scoft_hpc.config.setting import ABOVE_ZERO, lineage, policies, rules, setting
from scoft_hpc.launch.planning.packing import PER_LANE
from settings_changes import changed


@pytest.mark.parametrize("schema", [RunConfig, SweepConfig, PrepareConfig, RewriteConfig])
def test_every_setting_has_policies(schema: type[Any]) -> None:
    assert list(policies(schema)) == list(settings(schema))


def test_a_new_setting_needs_its_own_line_only() -> None:
    @dataclass(frozen=True)
    class Extra:
        speed: float = setting(1.0, allowed=ABOVE_ZERO)
        place: str = setting("here", infra=True)

    @dataclass(frozen=True)
    class Extended(RunConfig):
        extra: Extra = setting(Extra(), not_searched="it is new")

    globals()["Extra"] = Extra  # where the annotation is looked up
    assert rules(Extended)["extra.speed"] == ABOVE_ZERO
    assert science_fields(Extended())["extra"] == {"speed": 1.0}
    assert [policy.not_searched for policy in lineage(Extended, "extra.speed")] == ["it is new", None]
    assert validation.validate(changed(Extended(), {"extra.speed": 0.0})) == [
        "extra.speed=0.0: expected more than 0."
    ]


def test_a_setting_that_lanes_share_is_no_part_of_the_infra_half() -> None:
    infra = {name for name, policy in policies(RunConfig).items() if policy.infra}
    assert not infra & set(PER_LANE)


def test_what_a_variant_does_not_use() -> None:
    assert unused_by(Variant.mpc) == ()
    assert {"objective", "lora", "train", "data.negatives", "data.random_flip"} <= set(
        unused_by(Variant.base)
    )
    assert set(unused_by(Variant.m)) - set(unused_by(Variant.mp)) >= {"objective.distance", "objective.every"}
    triplet = {"objective.triplet_lambda", "objective.triplet_margin"}
    assert triplet <= set(unused(to_plain(RunConfig())))
    assert not triplet & set(
        unused(to_plain(changed(RunConfig(), {"objective.form": ContrastiveForm.triplet})))
    )


def test_commands_check_their_own_settings() -> None:
    for config, name in ((PrepareConfig(), "data.download.megabytes"), (RewriteConfig(), "rewriter.jobs")):
        faults = validation.validate(changed(config, {name: 0}))
        assert f"{name}=0: expected more than 0." in faults
