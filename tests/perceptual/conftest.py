"""The networks of the feature distances on disk, and no way to a network."""

from __future__ import annotations

from pathlib import Path

import pytest

import distance_networks
from scoft_hpc.config.schema import Objective


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    distance_networks.refuse_connections(monkeypatch)


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return distance_networks.save(tmp_path_factory.mktemp("networks"))


@pytest.fixture(scope="session")
def objectives(folders: dict[str, Path]) -> dict[str, Objective]:
    """Settings that name each network's folder; all but dreamsim's, which needs a package of its own."""
    objectives_by_distance = {
        name: Objective(distance=name, distance_path=str(folders[name])) for name in ("dino", "clip", "blip2")
    }
    return objectives_by_distance | {
        "toy": Objective(distance="toy"),
        "vgg": Objective(distance="vgg", vgg_path=str(folders["vgg"])),
    }
