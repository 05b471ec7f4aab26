"""A study on disk as the jobs leave it: real files of a small made-up study, for the packages that only read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from results.study_maker import Maker
from scoft_hpc.study.paths import StudyDir


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Maker:
    """Two cultures, five variants, two seeds, all done. Read only."""
    return Maker.of(tmp_path_factory.mktemp("finished")).finish()


@pytest.fixture
def copied(finished: Maker, tmp_path: Path) -> Maker:
    """The finished study again, to be broken or published."""
    shutil.copytree(finished.folder.path, tmp_path / finished.folder.name)
    return Maker(StudyDir(tmp_path / finished.folder.name), finished.configs)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Maker]:
    """A planned study of one's own shape, of which nothing has run."""
    return lambda **shape: Maker.of(tmp_path, **shape)
