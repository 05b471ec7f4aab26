"""The versions that pyproject.toml declares against those that are pinned."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from lowest_requirements import requirements

ROOT = Path(__file__).parents[1]


def test_the_tested_newest_versions_are_not_below_the_lowest() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pinned = {canonicalize_name(name): Version(version) for name, version in lines}
    lowest = {
        r.name: Version(next(iter(r.specifier)).version) for r in map(Requirement, requirements(project))
    }
    assert {"diffusers", "transformers", "peft", "pytest"} <= set(lowest)
    assert {
        name: version for name, version in lowest.items() if version > pinned[canonicalize_name(name)]
    } == {}


def test_a_dependency_without_a_lowest_version_is_refused() -> None:
    extras = {"adapter": [], "rewrite": [], "survey": [], "tensorboard": [], "tune": [], "dev": []}
    with pytest.raises(ValueError, match="'numpy' declares no lowest version"):
        list(requirements({"dependencies": ["numpy"], "optional-dependencies": extras}))
