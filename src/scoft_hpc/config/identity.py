"""A run's id: its culture, variant and seed, and eight hex digits of the settings that it depends on.

A setting that a run does not use does not change its id. So combinations of an ablation that are the same run are one
run, which is shown for all of them: `ldm` is the same under every feature distance.
"""

from __future__ import annotations

import functools
import hashlib
import json
import operator
import re
from collections.abc import Collection, Mapping
from typing import Any, cast

from scoft_hpc.config.plain import science_fields, to_plain
from scoft_hpc.config.schema import Prompting, RunConfig
from scoft_hpc.config.setting import policies
from scoft_hpc.config.terms import TERMS, Variant


@functools.cache
def unused_by(variant: Variant) -> tuple[str, ...]:
    """The settings, and groups of settings, that a variant does not depend on: those of terms that it does not have."""
    used = policies(RunConfig).items()
    return tuple(n for n, p in used if p.used_by is not None and not p.used_by & TERMS[variant])


def unused(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The settings that a run does not depend on, given all of them as plain data: what its variant does not use, and
    what another setting leaves without effect.
    """
    without_effect = []
    for name, policy in policies(RunConfig).items():
        if policy.used_if is not None:
            group = functools.reduce(operator.getitem, name.split(".")[:-1], settings)
            if not policy.used_if(group):
                without_effect.append(name)
    return (*unused_by(Variant[settings["variant"]]), *without_effect)


def drop_keys(settings: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Nested plain settings without those of these dotted names, each a setting or a group of them."""

    def remaining(part: Any, prefix: str) -> Any:
        if not isinstance(part, Mapping):
            return part
        return {k: remaining(v, f"{prefix}{k}.") for k, v in part.items() if f"{prefix}{k}" not in names}

    return cast(dict[str, Any], remaining(settings, ""))


def digest(config: RunConfig) -> str:
    """SHA-256 of the science half that the run depends on, as hex."""
    half = drop_keys(science_fields(config), unused(to_plain(config)))
    canonical = json.dumps(half, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


def run_id(config: RunConfig) -> str:
    """Such as `korea-mpc-s0-1f3a9c2e`, `korea-base-named-s0-…` or `korea-images-s0-…`."""
    culture = re.sub(r"[^a-z0-9_]+", "_", config.culture.lower()).strip("_") or "culture"
    settings = config.evaluation
    parts = [config.variant.name, *([settings.prompting.name] * (settings.prompting is not Prompting.asked))]
    label = "images" if settings.images else "-".join(parts)
    return f"{culture}-{label}-s{config.seed}-{digest(config)[:8]}"
