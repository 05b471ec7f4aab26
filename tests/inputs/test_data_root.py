"""Where cultures come from."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from scoft_hpc.config.schema import Data
from scoft_hpc.errors import ConfigError, DataError
from scoft_hpc.inputs import data_root, dataset
from scoft_hpc.inputs.toy.world import RECIPE

LOCATE = """
import sys
from pathlib import Path
from scoft_hpc.inputs.toy import scenes
scenes.CULTURES = ("korea",)  # a fifth of the world will do
from scoft_hpc.config.schema import Data
from scoft_hpc.inputs import data_root
print(data_root.locate(Data(), Path(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output folder with the toy world in it."""
    folder = tmp_path_factory.mktemp("outputs")
    data_root.locate(Data(), folder)
    return folder


def test_toy_world_is_rendered_once(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = output / "data" / RECIPE
    monkeypatch.setattr("scoft_hpc.inputs.toy.world.write_culture", None)
    assert data_root.locate(Data(), output) == root
    assert [path.name for path in root.parent.iterdir()] == [RECIPE], "no temporary folder is left"
    assert dataset.cultures(root) == ["china", "india", "korea", "mexico", "nigeria"]


def test_toy_cultures_are_sound(output: Path) -> None:
    root = output / "data" / RECIPE
    manifests = [dataset.read(root, name) for name in dataset.cultures(root)]
    assert len({one.digest for one in manifests}) == 5
    assert all(24 <= len(one.pairs) <= 32 and one.held_out for one in manifests)


def test_two_processes_render_at_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LOCATE, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    roots = {process.communicate()[0].strip() for process in both}
    assert roots == {str(tmp_path / "data" / RECIPE)}
    assert [process.returncode for process in both] == [0, 0]
    assert [path.name for path in (tmp_path / "data").iterdir()] == [RECIPE]


@pytest.mark.strace
def test_killed_in_mid_rendering(tmp_path: Path) -> None:
    # Each rename puts a picture in its place.
    kill = ["-e", "trace=rename", "-e", "inject=rename:signal=KILL:when=20"]
    command = ["strace", "-f", "-o", "/dev/null", *kill, sys.executable, "-c", LOCATE, str(tmp_path)]
    assert subprocess.run(command, stdout=subprocess.DEVNULL).returncode == -signal.SIGKILL
    assert list(tmp_path.glob("data/.*.tmp/*/train/images/003*"))
    root = tmp_path / "data" / RECIPE
    assert not root.exists()
    subprocess.run([sys.executable, "-c", LOCATE, str(tmp_path)], check=True, stdout=subprocess.DEVNULL)
    assert len(dataset.read(root, "korea").pairs) > 20


def test_toy_world_without_a_place(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(DataError, match=r"cannot be written to .*choose another folder with output=DIR"):
        data_root.locate(Data(), tmp_path)


def test_folder(output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = output / "data" / RECIPE
    assert data_root.locate(Data(name="folder", root=str(root)), tmp_path) == root
    monkeypatch.chdir(root.parent)
    assert data_root.locate(Data(name="folder", root=RECIPE), tmp_path) == root
    monkeypatch.setenv("HOME", str(root.parent))
    assert data_root.locate(Data(name="folder", root=f"~/{RECIPE}"), tmp_path) == root
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_used(output: Path, tmp_path: Path) -> None:
    def fault(root: Path | None) -> str:
        with pytest.raises((ConfigError, DataError)) as caught:
            data_root.locate(Data(name="folder", root=root and str(root)), tmp_path)
        return str(caught.value)

    assert "add data.root=DIR" in fault(None)
    assert f"does not exist ({tmp_path} does)" in fault(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    assert "is not a folder" in fault(tmp_path / "file")
    (tmp_path / "empty").mkdir()
    assert "no culture below" in fault(tmp_path / "empty")
    shutil.copytree(output / "data" / RECIPE / "korea", tmp_path / "all" / "korea")
    assert f"is itself a culture; give data.root={tmp_path / 'all'} culture=korea." in fault(
        tmp_path / "all" / "korea"
    )


def test_unknown_source(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"data\.name=hub: no such source of data; there are: toy, folder"):
        data_root.locate(Data(name="hub"), tmp_path)
